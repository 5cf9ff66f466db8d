# SPDX-License-Identifier: MIT
"""How many CPUs this process may use: affinity and cgroup quota, not what the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def _quota_v2(root: Path, own: str) -> float | None:
    """The tightest quota from our own cgroup up to the root."""
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
    """CPUs that the cgroup allows on average, or None where it sets no limit."""
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
    """Numbers of the CPUs this process may run on."""
    return sorted(os.sched_getaffinity(0))


def usable_cpus() -> int:
    """CPUs worth of work that this process can get done at a time, at least 1."""
    count = len(allowed_cpus())
    quota = cgroup_quota()
    if quota is not None:
        count = min(count, math.ceil(quota))
    return max(count, 1)
