# SPDX-License-Identifier: MIT
"""What this process owns that a test could leave behind, and what of it was not there before."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from typing import NamedTuple

# in the environment of all that a test process starts: its process id
MARK = "ENVRING_TEST_PROCESS"
SHM = "/dev/shm"
# what another process publishes is in use by nobody; its name says whose it is
NAME = re.compile(rf"envring-(?!top-)|envring-top-{os.getpid()}-")
OUR_FDS = re.compile(r"/memfd:|socket:|pipe:|pidfd:|anon_inode:\[pidfd\]")
OUR_MAPPINGS = re.compile(rb"/memfd:\S+")


def _standing_processes() -> set[int]:
    """Processes that multiprocessing starts once and keeps until the interpreter ends."""
    pids = {
        getattr(forkserver._forkserver, "_forkserver_pid", None),
        getattr(resource_tracker._resource_tracker, "_pid", None),
    }
    return {pid for pid in pids if pid is not None}


def _standing_fds() -> set[int]:
    fds = {
        getattr(forkserver._forkserver, "_forkserver_alive_fd", None),
        getattr(resource_tracker._resource_tracker, "_fd", None),
    }
    return {fd for fd in fds if fd is not None}


class _Process(NamedTuple):
    parent: int
    session: int
    begun: int
    is_dead: bool
    text: str


def _pids() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _process(pid: int) -> _Process | None:
    """What the kernel tells of a process; None: it has ended meanwhile."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        text = os.read(fd, 4096).decode("utf-8", "replace")
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    end = text.rindex(")") + 1
    fields = text[end + 1 :].split(maxsplit=20)
    described = f"process {pid} {text[text.index('(') : end]} state {fields[0]}"
    is_dead = fields[0] in "ZX"
    return _Process(int(fields[1]), int(fields[3]), int(fields[19]), is_dead, described)


def _is_marked(pid: int) -> bool:
    """Whether it was started, directly or not, by this process with its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARK}={os.getpid()}".encode() in file.read().split(b"\0")
    except OSError:
        return False  # it ended meanwhile, or is another user's


def _ours(pids: set[int]) -> dict[int, str]:
    """Those of `pids` that are below this process, or orphans that descend from it, with words.

    They live, or this process or its children have not reaped them yet. An orphan is known by its
    session or, in a session of its own, by its environment.
    """
    own = os.getpid()
    session, begun = os.getsid(0), _process(own).begun
    table: dict[int, _Process | None] = {}
    known: dict[int, bool] = {own: False, 0: False}

    def look(pid: int) -> _Process | None:
        if pid not in table:
            table[pid] = _process(pid)
        return table[pid]

    def descends(pid: int) -> bool:
        if pid not in known:
            process = look(pid)
            known[pid] = process is not None and (
                process.parent == own
                or descends(process.parent)
                or (process.begun >= begun and _is_marked(pid))
            )
        return known[pid]

    def is_orphan(pid: int) -> bool:
        process = look(pid)
        if process is None or process.session != session or pid in (session, own):
            return False
        if process.is_dead:
            return False  # whoever adopted it is late
        # in a container the process that adopts orphans may itself be of this session
        parent = look(process.parent)
        return process.parent == 1 or parent is None or parent.session != session

    return {pid: table[pid].text for pid in pids if descends(pid) or is_orphan(pid)}


def _fds() -> Counter[str]:
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # listdir's own
        if OUR_FDS.match(target) and int(name) not in _standing_fds():
            found[target] += 1
    return found


def _mappings() -> Counter[str]:
    with open("/proc/self/maps", "rb") as file:
        return Counter(name.decode() for name in OUR_MAPPINGS.findall(file.read()))


def _files(pid: int) -> set[str]:
    """Paths that a process has open or mapped."""
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            found |= {line.split(maxsplit=5)[5].strip() for line in file if SHM in line}
    except OSError:
        pass  # it ended meanwhile, or is another user's
    return found


def _names() -> set[str]:
    """Names in /dev/shm, but those that are in use by nobody but processes that are not ours."""
    try:
        found = {f"{SHM}/{name}" for name in os.listdir(SHM) if NAME.match(name)}
    except FileNotFoundError:
        return set()
    if not found:
        return found
    pids = _pids()
    ours = set(_ours(pids)) | {os.getpid()}
    used = {pid: _files(pid) & found for pid in pids}
    theirs = set().union(*(paths for pid, paths in used.items() if pid not in ours))
    return found - theirs | set().union(*(used[pid] for pid in ours if pid in used))


@dataclass(frozen=True)
class Books:
    """A count of everything that has to be given back, and of all processes there are."""

    pids: set[int]
    fds: Counter[str]
    mappings: Counter[str]
    names: set[str]
    threads: set[threading.Thread]

    @classmethod
    def now(cls) -> Books:
        """Counts."""
        return cls(_pids(), _fds(), _mappings(), _names(), set(threading.enumerate()))

    def _compare(self) -> list[str]:
        now = Books.now()
        # multiprocessing's own servants are not counted, what they have started is
        left = list(_ours(now.pids - self.pids - _standing_processes()).values())
        left += [f"{n} x descriptor of {name}" for name, n in (now.fds - self.fds).items()]
        left += [f"{n} x mapping of {name}" for name, n in (now.mappings - self.mappings).items()]
        left += sorted(now.names - self.names)
        left += [f"thread {thread.name}" for thread in now.threads - self.threads]
        return left

    def left_over(self, within: float) -> list[str]:
        """Descriptions of what is there and was not, after at most `within` seconds of patience."""
        left = self._compare()
        deadline = time.monotonic() + within
        pause = 0.01
        while left and time.monotonic() < deadline:
            gc.collect()
            time.sleep(pause)  # polling, bounded by the deadline
            pause = min(2 * pause, 0.1)
            left = self._compare()
        return left
