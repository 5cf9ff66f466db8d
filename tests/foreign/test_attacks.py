# SPDX-License-Identifier: MIT
"""Envs that attack their caller through all that they share with it.

`make attacks` runs many more: `ENVRING_ATTACKS` says how many.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("attacks.py")
RUNS = int(os.environ.get("ENVRING_ATTACKS", "24"))
CHUNK = 8


@pytest.mark.parametrize("first", range(0, RUNS, CHUNK))
def test_attacks(first: int) -> None:
    """No crash, no hang beyond a call's timeout, no code of the attacker, no changed values."""
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[1]), *sys.path]))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(first), str(CHUNK)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=50 if RUNS <= 24 else 400,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-4000:]
