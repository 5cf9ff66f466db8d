# SPDX-License-Identifier: MIT
"""All checks, each with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from envring.doctor import machine, programs, system
from envring.doctor.finding import Finding, warning

SECONDS = 10.0  # for all of them together

CHECKS: Mapping[str, Callable[[], Finding]] = {
    "Python": system.python,
    "compiled core": system.core,
    "kernel": system.kernel,
    "clock": system.clock,
    "cores": machine.cpus,
    "memory": machine.memory,
    "/dev/shm": system.shm,
    "limits": system.limits,
    "loopback": system.port,
    "extras": programs.extras,
    "C compiler": programs.compiler,
    "conda": programs.conda,
    "sandbox": programs.sandbox,
    "containers": programs.containers,
    "prefixes": programs.prefixes,
    "load": machine.load,
}


def run(
    checks: Mapping[str, Callable[[], Finding]] = CHECKS, seconds: float = SECONDS
) -> list[Finding]:
    """Runs checks side by side; one that hangs or fails is itself a finding.

    Args:
        checks: by name.
        seconds: for all of them together. The clock is looked at first, and the load last, when
            nothing else of this runs.
    """
    found: dict[str, Finding] = {}
    deadline = time.monotonic() + seconds
    alone = [name for name in ("clock", "load") if name in checks]
    together = [name for name in checks if name not in alone]

    def start(names: list[str]) -> None:
        threads = [
            threading.Thread(
                target=_run,
                args=(name, checks[name], found),
                name="envring-doctor",
                daemon=True,
            )
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    for names in (alone[:1], together, alone[1:]):
        start(names)
    late = warning(f"not known after {seconds:g} seconds", "See what hangs: a disk, a program?")
    return [replace(found.get(name, late), name=name) for name in checks]


def _run(name: str, check: Callable[[], Finding], found: dict[str, Finding]) -> None:
    try:
        found[name] = check()
    except Exception as error:  # what one check meets must not hide the others
        found[name] = warning(f"{type(error).__name__}: {error}", "Please report this.")
