# SPDX-License-Identifier: MIT
"""Records from one process to another: through a ring, and through a pipe."""

import contextlib
import functools
import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"
SIZES = {"64 B": 64, "1 KiB": 1 << 10, "16 KiB": 1 << 14, "256 KiB": 1 << 18}


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    made = tmp_path_factory.mktemp("ring") / "ring_throughput"
    compiler = os.environ.get("CC", "cc").split()
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}"]
    sources = [HERE / "support" / "ring_throughput.c", CSRC / "er_ring.c"]
    subprocess.run([*compiler, *flags, "-o", made, *sources], timeout=50, check=True)
    return made


def through(program, way, size):
    def take(seconds):
        command = [program, way, str(size), str(seconds)]
        ran = subprocess.run(command, stdout=subprocess.PIPE, timeout=50 + seconds, check=True)
        return float(ran.stdout) * 1e-9

    return functools.partial(contextlib.nullcontext, take)


@pytest.mark.parametrize("side", ["ring", "pipe"])
@pytest.mark.parametrize("size", SIZES)
def test_throughput(interleaved, program, side, size):
    sides = {way: through(program, way, SIZES[size]) for way in ("ring", "pipe")}
    interleaved(side, f"records, {size}", sides, "a record")
