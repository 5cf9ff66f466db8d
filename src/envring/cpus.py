# SPDX-License-Identifier: MIT
"""How many CPUs this process may use, by its affinity and cgroup quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def _quota_v2(root: Path, own: str) -> float | None:
    """Returns the tightest quota from the process's cgroup up to the root."""
    tightest: float | None = None
    folder = root / own.lstrip("/")
    for level in (folder, *folder.parents):
        try:
            quota, period = (level / "cpu.max").read_text().split()
        except (OSError, ValueError):
            pass
        else:
            if quota != "max":
                cpus = int(quota) / int(period)
                tightest = cpus if tightest is None else min(tightest, cpus)
        if level == root:
            break
    return tightest


def _quota_v1(root: Path) -> float | None:
    try:
        quota = int((root / "cpu/cpu.cfs_quota_us").read_text())
        period = int((root / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def cgroup_quota(
    root: Path = _CGROUP, membership: Path = Path("/proc/self/cgroup")
) -> float | None:
    """Returns the CPUs that the cgroup allows on average, or None if it sets no limit.

    Args:
        root: where the cgroup file system is mounted.
        membership: file that names the process's cgroups.
    """
    own = ""
    try:
        for line in membership.read_text().splitlines():
            if line.startswith("0::"):
                own = line[3:]
    except OSError:
        pass
    quota = _quota_v2(root, own)
    return quota if quota is not None else _quota_v1(root)


def allowed_cpus() -> list[int]:
    """Returns the numbers of the CPUs this process may run on, in ascending order."""
    return sorted(os.sched_getaffinity(0))


def usable_cpus() -> int:
    """Returns how many CPUs this process can keep busy, at least 1."""
    count = len(allowed_cpus())
    quota = cgroup_quota()
    if quota is not None:
        count = min(count, math.ceil(quota))
    return max(count, 1)
