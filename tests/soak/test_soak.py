# SPDX-License-Identifier: MIT
"""Mixed load for some seconds; `make soak` goes on for half an hour, see `command.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np

from soak import plain_load
from soak.fresh import OLD


def test_some_seconds(matrix_prefix: Any) -> None:
    matrix_prefix(OLD)
    done = subprocess.run(
        [sys.executable, "-m", "soak.command", "0.15"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "all of them checked" in done.stdout


def test_the_checksum_finds_each_flipped_bit() -> None:
    row = plain_load.row(3, plain_load.random_number(), 17, 5)
    assert (row == plain_load.rows(np.array([3]), row[1], 17, 5)[0]).all()
    units = np.eye(8, dtype=np.int64)
    flipped = np.array([row ^ (units[i] << bit) for i in range(8) for bit in range(62)])
    assert (plain_load.checksums(flipped) != flipped[:, 7]).all()
    assert plain_load.checksums(row[None]) == row[7]
