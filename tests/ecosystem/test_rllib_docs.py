# SPDX-License-Identifier: MIT
"""The block of docs/trainers.md for RLlib."""

import tempfile
from pathlib import Path

from ecosystem.blocks import run_block


def test_block():
    with tempfile.TemporaryDirectory() as short:  # Ray's sockets lie in it
        printed = run_block("RLlib", Path(short))
    assert float(printed.split()[-1]) > 8  # a mean return of CartPole
