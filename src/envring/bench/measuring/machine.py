# SPDX-License-Identifier: MIT
"""The machine: its description, the load of its processors, and its processes."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from envring.cpus import allowed_cpus, usable_cpus

_PROC = Path("/proc")
TICKS = 0.02  # seconds by which `busy_seconds` may be wrong: the kernel counts in ticks


def describe() -> dict[str, Any]:
    """Processor, cores, kernel and versions, ready for JSON."""
    versions = {"python": platform.python_version()}
    for package in ("envring", "gymnasium", "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "cpu": _cpu_model(),
        "cores_usable": usable_cpus(),
        "cores_total": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions,
    }


def load_average() -> list[float]:
    """The load averages of 1, 5 and 15 minutes; an empty list if the system has none."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return []


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in (_PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU seconds that the given processes have used so far; one that has ended counts as 0."""
    total = 0.0
    for pid in pids:
        # The clock id of another process's CPU time (see clock_getcpuclockid(3)): exact to the
        # nanosecond, where /proc/PID/stat has ticks of 10 ms.
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~pid << 3) | 2)
    return total


def context_switches(pids: Iterable[int]) -> tuple[int, int] | None:
    """Voluntary and involuntary context switches of all threads of `pids` so far.

    One that has ended counts as 0. None if the system does not tell.
    """
    voluntary = involuntary = 0
    known = False
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in (_PROC / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError):
                    _, found, counts = (task / "status").read_text().rpartition("\nvoluntary_")
                    if found:
                        fields = counts.split()
                        voluntary += int(fields[1])
                        involuntary += int(fields[3])
                        known = True
    return (voluntary, involuntary) if known else None


def memory_bytes(pids: Iterable[int]) -> int | None:
    """Resident memory of `pids`, pages that several processes map divided among them (PSS).

    None if the system does not tell.
    """
    total = None
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total = (total or 0) + 1024 * int(line.split()[1])
                    break
    return total


def busy_seconds() -> float | None:
    """CPU seconds of all programs on the processors this process may use, with stolen time."""
    try:
        usable = {f"cpu{cpu}" for cpu in allowed_cpus()}
        lines = (_PROC / "stat").read_text().splitlines()
    except OSError:
        return None
    ticks = 0
    for line in lines:
        name, *fields = line.split()
        if name in usable:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> set[int]:
    """The process `pid`, its descendants and all others that are left in its session."""
    parents: dict[int, tuple[int, int]] = {}
    with contextlib.suppress(OSError):
        for entry in _PROC.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    # The command's name may hold spaces and parentheses: read behind the last one.
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if fields[0] != "Z":
                        parents[int(entry.name)] = (int(fields[1]), int(fields[3]))
    found = {pid} & parents.keys()
    found |= {each for each, (_, session) in parents.items() if session == pid}
    grown = True
    while grown:
        young = {each for each, (parent, _) in parents.items() if parent in found or parent == pid}
        grown = not young <= found
        found |= young
    return found


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to every process of `pids` that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill(pids: Iterable[int]) -> None:
    """SIGKILL every process of `pids` that still exists."""
    send(signal.SIGKILL, pids)
