# SPDX-License-Identifier: MIT
"""Hosts, their workers and their callers, killed at random moments.

`make kills` (ENVRING_KILLS) says how often each; `kills.py` says what is looked at.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kills.py")
KILLS = int(os.environ.get("ENVRING_KILLS", "10"))
CHUNK = 5

pytestmark = [] if "ENVRING_KILLS" in os.environ else pytest.mark.long


@pytest.mark.parametrize("first", range(0, KILLS, CHUNK))
@pytest.mark.parametrize("whom", ["host", "worker", "caller"])
def test_kills(whom, first):
    """Nothing is left on either side, and each error names its cause."""
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[1]), *sys.path]))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), whom, str(first), str(CHUNK)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=50 if KILLS <= 10 else 400,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
