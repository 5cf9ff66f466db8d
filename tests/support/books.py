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
OUR_FDS = re.compile(r"/memfd:|socket:|pipe:|pidfd:|anon_inode:\[pidfd\]")
OUR_MAPPINGS = re.compile(r"/memfd:\S+")


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
    text: str


def _all_processes() -> dict[int, _Process]:
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fd = os.open(f"/proc/{name}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        try:
            text = os.read(fd, 4096).decode("utf-8", "replace")
        except ProcessLookupError:
            continue
        finally:
            os.close(fd)
        end = text.rindex(")") + 1
        fields = text[end + 1 :].split(maxsplit=20)
        described = f"process {name} {text[text.index('(') : end]} state {fields[0]}"
        table[int(name)] = _Process(int(fields[1]), int(fields[3]), int(fields[19]), described)
    return table


def _is_marked(pid: int) -> bool:
    """Whether it was started, directly or not, by this process with its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARK}={os.getpid()}".encode() in file.read().split(b"\0")
    except OSError:
        return False  # it ended meanwhile, or is another user's


def _ours(table: dict[int, _Process]) -> set[int]:
    """Living and unreaped processes below this one, and orphans that descend from it.

    An orphan is known by its session or, in a session of its own, by its environment.
    """
    own, session = os.getpid(), os.getsid(0)
    mates = {pid for pid, process in table.items() if process.session == session}
    # in a container the process that adopts orphans may itself be of this session
    found = {pid for pid in mates if pid != session and table[pid].parent not in mates - {1}}
    layer = {own}
    while layer:
        layer = {pid for pid, process in table.items() if process.parent in layer} - found
        found |= layer
    later = {pid for pid, process in table.items() if process.begun >= table[own].begun} - found
    layer = {pid for pid in later if pid != own and _is_marked(pid)}
    while layer:
        found |= layer
        layer = {pid for pid, process in table.items() if process.parent in layer} - found
    return found - {own}


def _processes() -> dict[int, str]:
    """Ours; multiprocessing's own servants are not counted, what they have started is."""
    table = _all_processes()
    return {pid: table[pid].text for pid in _ours(table) - _standing_processes()}


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
    with open("/proc/self/maps", encoding="utf-8") as file:
        return Counter(match.group() for line in file if (match := OUR_MAPPINGS.search(line)))


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
        found = {f"{SHM}/{name}" for name in os.listdir(SHM) if name.startswith("envring")}
    except FileNotFoundError:
        return set()
    if not found:
        return found
    table = _all_processes()
    ours = _ours(table) | {os.getpid()}
    used = {pid: _files(pid) & found for pid in table}
    theirs = set().union(*(paths for pid, paths in used.items() if pid not in ours))
    return found - theirs | set().union(*(used[pid] for pid in ours if pid in used))


@dataclass(frozen=True)
class Books:
    """A count of everything that has to be given back."""

    processes: dict[int, str]
    fds: Counter[str]
    mappings: Counter[str]
    names: set[str]
    threads: set[threading.Thread]

    @classmethod
    def now(cls) -> Books:
        """Counts."""
        return cls(_processes(), _fds(), _mappings(), _names(), set(threading.enumerate()))

    def _compare(self) -> list[str]:
        now = Books.now()
        left = [text for pid, text in now.processes.items() if pid not in self.processes]
        left += [f"{n} x descriptor of {name}" for name, n in (now.fds - self.fds).items()]
        left += [f"{n} x mapping of {name}" for name, n in (now.mappings - self.mappings).items()]
        left += sorted(now.names - self.names)
        left += [f"thread {thread.name}" for thread in now.threads - self.threads]
        return left

    def left_over(self, within: float) -> list[str]:
        """Descriptions of what is there and was not, after at most `within` seconds of patience."""
        left = self._compare()
        deadline = time.monotonic() + within
        while left and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.01)  # polling, bounded by the deadline
            left = self._compare()
        return left
