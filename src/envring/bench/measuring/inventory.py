# SPDX-License-Identifier: MIT
"""Which peers are installed, in which versions, and how to install the others."""

from __future__ import annotations

import contextlib
from importlib import metadata
from typing import Any

from envring.bench import peers, workloads
from envring.bench.measuring import machine


def versions() -> dict[str, str]:
    """The versions of Python, envring, and every peer and simulator that is installed."""
    found: dict[str, str] = dict(machine.describe()["versions"])
    for adapter in peers.adapters().values():
        version = peers.installed(adapter)
        if version is not None:
            found.setdefault(adapter.distribution, version)
    for package in sorted({each.needs for each in workloads.WORKLOADS.values() if each.needs}):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.setdefault(package, metadata.version(package))
    return found


def absent() -> dict[str, str]:
    """The command that installs each missing peer and workload, by name."""
    lines = {
        name: f"pip install {adapter.requirement}"
        for name, adapter in peers.adapters().items()
        if peers.installed(adapter) is None
    }
    for name, workload in workloads.WORKLOADS.items():
        if workload.absent is not None:
            lines[name] = workload.absent
    return lines


def describe() -> dict[str, Any]:
    """As `machine.describe`, with the versions of all peers."""
    return machine.describe() | {"versions": versions()}
