# SPDX-License-Identifier: MIT
"""Runs a plain script of this folder under another interpreter, beside the worker package."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from envring import _foreign

HERE = Path(__file__).parent
FOREIGN = Path(_foreign.__file__).parent


def run_checks(python: str | Path, script: str, *, seconds: float = 40.0, **environ: str) -> str:
    """Runs all checks of a script; returns what it printed.

    Raises:
        AssertionError: a check failed, or there is none.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ran = subprocess.run(
        [python, "-s", "-B", HERE / script],
        env={**kept, "PYTHONPATH": str(FOREIGN), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
    )
    said = f"{ran.stdout[-6000:]}\n{ran.stderr[-3000:]}"
    assert ran.returncode == 0, said
    assert re.search(r"^0 of [1-9]\d* checks failed$", ran.stdout, re.MULTILINE), said
    return ran.stdout
