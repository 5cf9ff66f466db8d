# SPDX-License-Identifier: MIT
"""What a check finds."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

OK, WARNING, PROBLEM = "ok", "warning", "problem"

MEBI, GIBI = 1 << 20, 1 << 30


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        text: what was found.
        cure: what to change, or "".
        level: OK, WARNING (something is slow, or cannot be used) or PROBLEM (envs cannot run).
        name: of the check; `run` sets it.
    """

    text: str
    cure: str = ""
    level: str = OK
    name: str = ""


def warning(text: str, cure: str) -> Finding:
    """Something is slow, or cannot be used."""
    return Finding(text, cure, WARNING)


def problem(text: str, cure: str) -> Finding:
    """Envs cannot run."""
    return Finding(text, cure, PROBLEM)


def size(nbytes: float) -> str:
    """Bytes as people read them."""
    return f"{nbytes / GIBI:.1f} GiB" if nbytes >= GIBI else f"{nbytes / MEBI:.0f} MiB"


def output(argv: Sequence[str], seconds: float) -> str | None:
    """What a program prints, or None if it fails or takes longer."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "replace").strip()
