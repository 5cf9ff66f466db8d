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
    text: str


def _all_processes() -> dict[int, _Process]:
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                text = file.read()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        command = text[text.index("(") : text.rindex(")") + 1]
        state, parent, _, session = text[text.rindex(")") + 2 :].split()[:4]
        described = f"process {name} {command} state {state}"
        table[int(name)] = _Process(int(parent), int(session), described)
    return table


def _processes() -> dict[int, str]:
    """Living and unreaped processes below this one, and orphans of its session.

    Multiprocessing's own servants are not counted, what they have started is.
    """
    table = _all_processes()
    session = os.getsid(0)
    ours = {pid for pid, process in table.items() if process.session == session}
    # in a container the process that adopts orphans may itself be of this session
    found = {pid for pid in ours if pid != session and table[pid].parent not in ours - {1}}
    below = {os.getpid()}
    while below:
        below = {pid for pid, process in table.items() if process.parent in below} - found
        found |= below
    return {pid: table[pid].text for pid in found - _standing_processes() - {os.getpid()}}


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


def _names() -> set[str]:
    try:
        return {name for name in os.listdir("/dev/shm") if name.startswith("envring")}
    except FileNotFoundError:
        return set()


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
        left += [f"/dev/shm/{name}" for name in now.names - self.names]
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
