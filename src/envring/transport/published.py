# SPDX-License-Identifier: MIT
"""What a process says of its vector envs to others of the same user, in named shared memory.

A name holds JSON: which process, which workers, and where in which of its files they count. It goes
with the vector env; one of a process that was killed is found and removed by whoever looks next.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envring.transport.shared_memory import FOLDER, open_named, remove_named

SHM = Path(FOLDER)
_NAME = re.compile(r"envring-top-(\d+)-(\d+)-\d+")  # process, when it started, number
_MOST_BYTES = 1 << 22
_numbers = itertools.count()


def started(pid: int) -> int | None:
    """When a process started, in ticks since the boot; None if there is none that runs."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "XZ" else int(fields[19])
    return None


class Publication:
    """One name of this process.

    Attributes:
        content: what it says.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        """Makes it.

        Raises:
            OSError: there is no memory for it.
        """
        self._pid = os.getpid()
        self.name = f"/envring-top-{self._pid}-{started(self._pid) or 0}-{next(_numbers)}"
        self._write(content, make=True)

    def _write(self, content: Mapping[str, Any], make: bool) -> None:
        self.content = dict(content)
        data = json.dumps(content).encode()
        fd = open_named(self.name, make=make)
        try:
            # whoever reads meanwhile finds the old text, the new one, or no JSON
            os.ftruncate(fd, len(data))
            os.pwrite(fd, data, 0)
        except OSError:
            self.remove()
            raise
        finally:
            os.close(fd)

    def rewrite(self, content: Mapping[str, Any]) -> None:
        """Says something else from now on."""
        if self._pid == os.getpid():
            self._write(content, make=False)

    def rewrite_worker(self, w: int, values: Mapping[str, Any]) -> None:
        """Says something else of one of its "workers"."""
        workers = list(self.content["workers"])
        workers[w] = {**workers[w], **values}
        self.rewrite({**self.content, "workers": workers})

    def remove(self) -> None:
        """Removes the name; a forked copy of the process keeps the original's."""
        if self._pid == os.getpid():
            remove_named(self.name)


def read(folder: Path = SHM) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(name, process, content) of all that this user's living processes say."""
    for path, pid, alive in _names(folder):
        if alive:
            with contextlib.suppress(OSError, ValueError, RecursionError):
                with open(path, "rb", opener=_open) as file:
                    content = json.loads(file.read(_MOST_BYTES))
                if isinstance(content, dict):
                    yield path.name, pid, content


def stale(folder: Path = SHM) -> list[Path]:
    """This user's names whose process is gone."""
    return [path for path, _, alive in _names(folder) if not alive]


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _names(folder: Path) -> Iterator[tuple[Path, int, bool]]:
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            with contextlib.suppress(OSError):  # it is gone
                status = path.lstat()
                if match and stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid():
                    pid, start = int(match[1]), int(match[2])
                    yield path, pid, started(pid) == start
