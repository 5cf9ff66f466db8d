# SPDX-License-Identifier: MIT
"""Workers without Python, compiled here, and the env of one of them in Python."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import envring
from envring import EnvSource, Program

FOLDER = Path(__file__).parents[1] / "foreign"
COMPILERS = ("g++", "clang++", "c++")


def compiler() -> str | None:
    """The path of a compiler of C++, if there is one."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def build(source: Path, folder: Path) -> Path:
    """The program that a source in C++ makes, in a folder."""
    found = compiler()
    assert found is not None, "there is no compiler of C++"
    program = folder / source.stem
    options = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{envring.get_include()}"]
    command = [found, source, "-o", program, *options, "-ldl", "-pthread"]
    subprocess.run(command, check=True, timeout=50)
    return program


def built(source: Path, folder: Path) -> EnvSource:
    """The env of that program; skips where there is no compiler."""
    if compiler() is None:
        pytest.skip("there is no compiler of C++: workers without Python stay untried")
    return EnvSource("Program-v0", launcher=Program(str(build(source, folder))))


class Counting(gym.Env[Any, Any]):
    """The same as counting.cpp."""

    observation_space = gym.spaces.Box(-9, 9999, (3,), np.int16)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    count, length, seed = 0, 4, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begins; the seed, if there is one, is seen from then on."""
        self.seed = self.seed if seed is None else seed
        self.count = 0
        return self._obs(), self._info()

    def step(self, action: Any) -> Any:
        """Counts; an action may end the episode, or the process."""
        if action[0] < -0.95:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1
        ended = self.count == self.length or action[1] < -0.95
        reward = float(action[0]) * 0.25
        return self._obs(), reward, bool(ended), bool(ended and action[1] > 0), self._info()

    def _obs(self) -> Any:
        return np.array([self.count, self.seed, self.count * 7]).astype(np.int16)

    def _info(self) -> dict[str, Any]:
        if self.seed == 13:
            return {}
        info: dict[str, Any] = {"begun": True} if self.count == 0 else {}
        info |= {"count": self.count, "big": -(1 << 40) - self.count, "share": 0.25 * self.count}
        return info | ({"odd": self.count == 3} if self.count % 2 else {})
