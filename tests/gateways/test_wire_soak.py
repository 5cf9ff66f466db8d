# SPDX-License-Identifier: MIT
"""Many callers of other wires, who come and go and are killed: the host goes on, and keeps nothing.

`ENVRING_SOAK=120 pytest -m long tests/gateways/test_wire_soak.py` takes 64 callers and that many
seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
pytest.importorskip("grpc")
pytest.importorskip("websockets")

SCRIPT = Path(__file__).with_name("wire_soak.py")
SECONDS, CALLERS = (os.environ["ENVRING_SOAK"], 64) if "ENVRING_SOAK" in os.environ else ("8", 16)


@pytest.mark.parametrize("wire", ["grpc", "openenv"])
def test_soak(wire):
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[1]), *sys.path]))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), wire, SECONDS, str(CALLERS)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=float(SECONDS) + 45,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
