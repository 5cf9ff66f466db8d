# SPDX-License-Identifier: MIT
"""Names in /dev/shm that a process of this package left there when it was killed.

Only segments for workers in containers have a name, and only until these have opened it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterable
from pathlib import Path

SHM = Path("/dev/shm")
_NAME = re.compile(r"envring-[0-9a-f]{16}")  # as SegmentFile makes them
_AGE = 3600.0  # seconds: a process in another container, which is not seen here, may still start


def find(folder: Path = SHM, age: float = _AGE) -> list[Path]:
    """This user's names that are older than so many seconds, and that no process uses."""
    found = {}
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(OSError):  # it is gone
                status = path.lstat()
                if (
                    _NAME.fullmatch(path.name)
                    and stat.S_ISREG(status.st_mode)
                    and status.st_uid == os.getuid()
                    and time.time() - status.st_ctime > age
                ):
                    found[status.st_dev, status.st_ino] = path
    if found:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for file in used_by(Path("/proc", pid)):
                found.pop(file, None)
    return list(found.values())


def used_by(process: Path) -> Iterable[tuple[int, int]]:
    """(device, inode) of what a process has open or mapped, as far as one may see it."""
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                status = descriptor.stat()
                yield status.st_dev, status.st_ino
    with contextlib.suppress(OSError):
        for line in (process / "maps").read_text(errors="replace").splitlines():
            _, _, _, device, inode, *_ = line.split(maxsplit=5)
            major, minor = (int(number, 16) for number in device.split(":"))
            yield os.makedev(major, minor), int(inode)
