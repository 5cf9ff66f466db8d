# SPDX-License-Identifier: MIT
"""What other processes have published, as numbers.

Counters are read from the segment's file, which the process that made it holds open: nothing is
asked of that process, so one that hangs is seen as well. It is copied, not mapped: whoever could
shrink the file could end the reader.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envring.core import _core
from envring.pool.stats import Stats, WorkerStats, counted, memory
from envring.transport import published


@dataclass(frozen=True)
class Look:
    """One vector env, or its part in one kind of interpreter, at one moment.

    Attributes:
        name: that it was published under.
        pid: the process that steps it.
        command: its command line.
        label: what its user calls it.
        stats: totals of its workers, or None: `trouble` says why they cannot be read.
        ended: processes of workers that are not there any more.
        trouble: what is wrong, or "".
    """

    name: str
    pid: int
    command: str
    label: str
    stats: Stats | None
    ended: tuple[int, ...] = ()
    trouble: str = ""


def look(pid: int | None = None) -> list[Look]:
    """All that this user's processes have published now, or what one of them has."""
    found = []
    for name, process, content in published.read():
        if pid in (None, process):
            try:
                found.append(_look(name, process, content))
            except (KeyError, TypeError, ValueError) as error:
                text = f"this is not what this version of envring publishes: {error!r}"
                found.append(Look(name, process, _command(process), "", None, (), text))
            except OSError as error:
                if published.started(process) is not None:
                    text = f"its memory cannot be read: {error}"
                    found.append(Look(name, process, _command(process), "", None, (), text))
    return found


def _look(name: str, pid: int, content: Mapping[str, Any]) -> Look:
    label, abi = str(content["label"]), content["abi"]
    if abi != _core.ABI:
        text = f"another version of envring steps them: their memory has ABI {abi}, not {_core.ABI}"
        return Look(name, pid, _command(pid), label, None, (), text)
    seconds = time.monotonic() - float(content["since"])
    fd = os.open(f"/proc/{pid}/fd/{int(content['fd'])}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_ino != content["inode"]:
            raise ValueError("the file is another one")
        workers = [_worker(fd, seconds, worker) for worker in content["workers"]]
    finally:
        os.close(fd)
    ended = tuple(each.pid for each in workers if each.pid and published.started(each.pid) is None)
    return Look(name, pid, _command(pid), label, Stats(seconds, tuple(workers)), ended)


def _worker(fd: int, seconds: float, worker: Mapping[str, Any]) -> WorkerStats:
    pid, (first, end) = int(worker["pid"]), worker["env_ids"]
    if not 0 <= end - first <= 1 << 20:
        raise ValueError(f"a worker with {end - first} envs")
    stats = WorkerStats(
        tuple(range(first, end)),
        pid,
        seconds=seconds,
        memory=memory(pid) or None,
        restarts=int(worker.get("restarts", 0)),
        planned_restarts=int(worker.get("planned_restarts", 0)),
    )
    if worker["at"] is None:
        return stats
    return counted(stats, _core.read_stats(os.pread(fd, _core.STATS_BYTES, int(worker["at"]))))


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    return " ".join(" ".join(words).split())
