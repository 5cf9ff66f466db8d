# SPDX-License-Identifier: MIT
"""The envs of `plain_envs`: as sources for any interpreter, and as Gymnasium's for the oracle."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Tuple
from gymnasium.vector import SyncVectorEnv

from envring import EnvSource, RingVectorEnv
from envring.testing.conformance_base import quiet
from foreign import plain_envs

FILE = Path(__file__).with_name("plain_envs.py")


def plain(name: str = "Plain", **kwargs: Any) -> EnvSource:
    """A source of an env of `plain_envs`."""
    return EnvSource(f"{FILE}:{name}", kwargs=kwargs)


class Home(gymnasium.Env):
    """A plain env with the modern API and real spaces, written down by hand."""

    def __init__(self, name: str, **kwargs: Any) -> None:
        self.plain = getattr(plain_envs, name)(**kwargs)
        self.old = name == "Old"
        self.observation_space = Dict(
            OrderedDict(
                level=Discrete(1000),
                pair=Tuple([Box(-1000, 1000, (2,), np.float64), MultiBinary(3)]),
                pixels=Box(0, 255, (2, 2), np.uint8),
            )
        )
        self.action_space = Discrete(8)

    def __getattr__(self, name: str) -> Any:
        if name == "plain":
            raise AttributeError(name)  # not made yet
        return getattr(self.plain, name)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if not self.old:
            return self.plain.reset(seed=seed, options=options)
        if seed is not None:
            self.plain.seed(seed)
        return self.plain.reset(), {}

    def step(self, action: Any) -> Any:
        if not self.old:
            return self.plain.step(action)
        observation, reward, done, info = self.plain.step(action)
        truncated = done and info.get("TimeLimit.truncated", False)
        return observation, reward, done and not truncated, truncated, info


@contextmanager
def both(sources: list[EnvSource], launcher: Any, **kwargs: Any):
    """A vector env over there, and a SyncVectorEnv of the same envs here."""
    envs = RingVectorEnv(sources, launcher=launcher, **kwargs)
    oracle = SyncVectorEnv(
        [lambda s=s: Home(s.env.rpartition(":")[2], **s.kwargs) for s in sources],
        autoreset_mode=kwargs.get("autoreset_mode", "NextStep"),
    )
    try:
        yield envs, oracle
    finally:
        with quiet():
            envs.close()
        oracle.close()


@contextmanager
def running(sources: list[EnvSource], launcher: Any, **kwargs: Any):
    """A vector env over there."""
    envs = RingVectorEnv(sources, launcher=launcher, **kwargs)
    try:
        yield envs
    finally:
        with quiet():
            envs.close()


def in_order(value: Any) -> Any:
    """The same with every dict's keys sorted: Python 2 has no order of its own."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, tuple):
        return tuple(in_order(item) for item in value)
    if isinstance(value, list):
        return [in_order(item) for item in value]
    if isinstance(value, np.ndarray) and value.dtype == object:
        items = np.empty(value.shape, object)
        for index in np.ndindex(value.shape):
            items[index] = in_order(value[index])
        return items
    return value
