# SPDX-License-Identifier: MIT
"""An env that overwrites the header of the shared memory and dies: no successor can use it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from envring import EnvringError, EnvSource, Python
from envring.testing import CountingEnv

HEADER_BYTES = 768
DAMAGES = {"zeros": 0x00, "ones": 0xFF}

SOURCE = """
import sys
sys.path.insert(0, {tests!r})
from faults.test_restarts_damaged import Damaging


def make(byte):
    return Damaging(byte)
"""


class Damaging(CountingEnv):
    """Overwrites the header in its first step, and dies of it."""

    def __init__(self, byte: int) -> None:
        super().__init__(1, (99,))
        self.byte = byte

    def step(self, action: Any) -> Any:
        lines = Path("/proc/self/maps").read_text().splitlines()
        found = [line for line in lines if "memfd:" in line and "rw-s" in line]
        starts = [
            int(line.partition("-")[0], 16) for line in found if line.split()[2] == "00000000"
        ]
        assert starts, lines
        for start in starts:
            ctypes.memset(start, self.byte, HEADER_BYTES)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("where", ["local", "foreign"])
def test_the_error_comes_after_max_restarts(
    where: str, damage: str, made: Any, tmp_path: Path
) -> None:
    byte = DAMAGES[damage]
    fns: list[Any] = [partial(CountingEnv, 0, (99,)), partial(Damaging, byte)]
    options: dict[str, Any] = {}
    if where == "foreign":
        file = tmp_path / "damaging.py"
        file.write_text(SOURCE.format(tests=str(Path(__file__).parents[1])))
        fns = [EnvSource(f"{file}:make", kwargs={"byte": byte}) for _ in range(2)]
        options = {"launcher": Python(sys.executable)}
    envs = made(fns, num_workers=2, max_restarts=2, start_timeout=20.0, **options)
    held, _ = envs.reset(seed=0)
    errors = []
    for _ in range(2):
        with pytest.raises(EnvringError) as caught:
            envs.step([0, 0])
        errors.append(caught.value)
    assert errors[0] is errors[1]
    said = "\n".join([str(errors[0]), *getattr(errors[0], "__notes__", [])])
    assert "started again 2 times within" in said
    assert "max_restarts allows no more" in said
    assert held.shape == (2, 4)
    envs.close()
