# SPDX-License-Identifier: MIT
"""Processors and memory: how much of them this process may use, and who else does."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from envring.cpus import allowed_cpus, cgroup_quota, usable_cpus
from envring.doctor.finding import GIBI, Finding, size, warning

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
_LEAST_MEMORY = GIBI // 2
_UNLIMITED = 1 << 60  # cgroup v1 writes a number that no machine has
_SECONDS = 0.4  # for which other programs are watched
_BUSY = 0.1  # share of the usable processors that disturbs a measurement
_NAMED = 3  # of those programs


def cpus() -> Finding:
    """Processors: affinity and cgroup quota."""
    allowed, quota = len(allowed_cpus()), cgroup_quota()
    text = f"{usable_cpus()} usable of {os.cpu_count()}"
    if allowed != os.cpu_count():
        text += f", affinity allows {allowed}"
    if quota is not None:
        text += f", the cgroup's quota is {quota:g}"
        if quota < allowed:
            return warning(
                text,
                f"Who spins uses up the quota. Give the container whole cores (--cpuset-cpus) or "
                f"more of them; at {quota:g} num_workers={usable_cpus()} is right.",
            )
    if usable_cpus() == 1:
        return warning(text, "With one core nothing runs side by side: give it more.")
    return Finding(text)


def memory() -> Finding:
    """Memory of the machine, and of the cgroup."""
    available = _available()
    limit, used = memory_limit()
    text = "unknown" if available is None else f"{size(available)} available"
    free = available
    if limit is not None:
        text += f", the cgroup's limit is {size(limit)}, {size(used)} of it used"
        free = limit - used if free is None else min(free, limit - used)
    if free is not None and free < _LEAST_MEMORY:
        return warning(
            text, "Raise the memory limit, or use fewer workers: each is a process of its own."
        )
    return Finding(text)


def _available() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (PROC / "meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


def memory_limit(
    root: Path = CGROUP, membership: Path = PROC / "self/cgroup"
) -> tuple[int | None, int]:
    """The tightest memory limit of the process's cgroups (v2, else v1), and what it has used.

    Args:
        root: where the cgroup file system is mounted.
        membership: file that names the process's cgroups.
    """
    own, own_v1 = "", ""
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                own = path
            elif "memory" in controllers.split(","):
                own_v1 = path
    tightest: tuple[int | None, int] = None, 0
    for top, below, limit_name, used_name in (
        (root, own, "memory.max", "memory.current"),
        (root / "memory", own_v1, "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        folder = top / below.lstrip("/")
        for level in (folder, *folder.parents):
            with contextlib.suppress(OSError, ValueError):  # "max" is not a number
                limit = int((level / limit_name).read_text())
                if limit < _UNLIMITED and (tightest[0] is None or limit < tightest[0]):
                    cached = _cached(level)
                    used = int((level / used_name).read_text())
                    tightest = limit, max(used - cached, 0)
            if level == top:
                break
        if tightest[0] is not None:
            break
    return tightest


def _cached(level: Path) -> int:
    """Bytes of files that a cgroup has cached, which the kernel gives up when memory is wanted."""
    with contextlib.suppress(OSError, ValueError):
        for line in (level / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0


def load() -> Finding:
    """Whether other programs compute now, which would disturb a measurement."""
    before, start = _ticks(), time.monotonic()
    time.sleep(_SECONDS)
    after, seconds = _ticks(), time.monotonic() - start
    hertz = os.sysconf("SC_CLK_TCK")
    shares = {
        pid: (ticks - before[pid][0]) / hertz / seconds
        for pid, (ticks, _) in after.items()
        if pid in before and pid != os.getpid()
    }
    average = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    busy = sum(shares.values())
    text = f"other programs use {busy:.1f} processors now, load averages {average}"
    if busy > _BUSY * usable_cpus():
        most = sorted(shares, key=lambda pid: -shares[pid])[:_NAMED]
        named = ", ".join(f"{after[pid][1]} ({pid})" for pid in most if shares[pid] > 0)
        return warning(f"{text}: {named}", "Measure another time; envs and training run anyway.")
    return Finding(text)


def _ticks() -> dict[int, tuple[int, str]]:
    """CPU time in ticks, and name, of each process that can be seen."""
    found = {}
    for name in os.listdir(PROC):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                text = (PROC / name / "stat").read_text(errors="replace")
                # a command's name may hold spaces and parentheses: read behind the last one
                head, _, tail = text.rpartition(")")
                fields = tail.split()
                found[int(name)] = int(fields[11]) + int(fields[12]), head.partition("(")[2]
    return found
