# SPDX-License-Identifier: MIT
"""A batch costs the caller of a host one system call in each direction."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.hosts import running

STEPS = 200  # of count_calls.py
SUPPORT = Path(__file__).parents[1] / "support"


def test_one_for_a_batch_and_direction(tmp_path):
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler here: system calls are not counted")
    library = tmp_path / "calls.so"
    argv = [compiler, "-shared", "-fPIC", "-O1", "-o", library, SUPPORT / "calls.c", "-ldl"]
    subprocess.run(argv, check=True)
    with running("CartPole-v1") as host:
        done = subprocess.run(
            [sys.executable, SUPPORT / "count_calls.py", host.url],
            env={**os.environ, "LD_PRELOAD": str(library)},
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    written, read, waited = map(int, done.stdout.split())
    assert written == STEPS
    # one that sleeps on a busy machine may wake for a part of an answer, or for nothing
    assert STEPS <= read <= 1.2 * STEPS
    assert waited <= 0.2 * STEPS
