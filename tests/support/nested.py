# SPDX-License-Identifier: MIT
"""Vector envs that are made in processes of others: what became of them, as plain data."""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from envring import EnvSource, RingEnv, RingVectorEnv
from envring.testing import CountingEnv

REFUSED = {
    "workers": lambda: RingVectorEnv([CountingEnv] * 2, num_workers=2),
    "forkserver": lambda: RingVectorEnv(
        [CountingEnv] * 2, num_workers=1, context="forkserver", daemon=False
    ),
    "caller": lambda: RingVectorEnv([CountingEnv] * 2, caller_steps=True),
    "one": lambda: RingEnv(CountingEnv),
}
WORKS = {
    "inline": lambda: RingVectorEnv([CountingEnv] * 2, num_workers=0),
    "launcher": lambda: RingVectorEnv(
        [EnvSource("CartPole-v1")] * 2, launcher=f"prefix:{sys.prefix}", num_workers=1
    ),
}
NAMES = [*REFUSED, *WORKS]


def outcome(name: str) -> str:
    """ "works", or the error's type and text, and the number of processes that it left."""
    try:
        env: Any = (REFUSED | WORKS)[name]()
        env.reset(seed=0)
        env.step(env.action_space.sample())
        env.close()
    except BaseException as error:
        children = len(multiprocessing.active_children())
        return f"{type(error).__name__}: {error} ({children} left)"
    return "works"


def check(name: str, said: str) -> None:
    """It works, or is refused by the typed error that names what works, before anything starts."""
    if name in WORKS:
        assert said == "works"
    else:
        assert said.startswith("LauncherError: ")
        assert "num_workers=0" in said and "launcher=" in said
        assert said.endswith(" (0 left)")


class Nesting(gymnasium.Env[Any, Any]):
    """Makes vector envs in its first reset; `said` tells what became of them, by name."""

    observation_space = Box(0, 1, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.said = {name: outcome(name) for name in NAMES}
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(1, np.float32), 0.0, False, False, {}
