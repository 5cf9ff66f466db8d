# SPDX-License-Identifier: MIT
"""Envs whose every value depends on what they were given: seeds, options, actions."""

from __future__ import annotations

import time
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
DICT = spaces.Dict(
    {"b": spaces.Box(0, 255, (4, 4, 1), np.uint8), "a": VECTOR, "n": spaces.Discrete(1 << 30)}
)
ACTIONS = {
    "discrete": spaces.Discrete(5),
    "box": spaces.Box(-2, 2, (2, 2), np.float32),
    "multi-discrete": spaces.MultiDiscrete([3, 4]),
    "multi-binary": spaces.MultiBinary(4),
    "tuple": spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32))),
    "dict": spaces.Dict({"x": spaces.Discrete(3), "y": spaces.Box(-1, 1, (2,), np.float32)}),
}
OBSERVATIONS = {"vector": VECTOR, "dict": DICT, "discrete": spaces.Discrete(1 << 30)}


class Odd:
    """An object that only a pickle can carry."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


class Told(gym.Env):
    """Tells what it was given, in observations, rewards and infos of many types."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self, observation: str = "vector", action: str = "discrete", rank: int = 0
    ) -> None:
        self.observation_space = OBSERVATIONS[observation]
        self.action_space = deepcopy(ACTIONS[action])
        self.rank = rank
        self.render_mode = "rgb_array"
        self.given: list[str] = []
        self.told_options: Any = "nothing"
        self.level = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.told_options, self.steps = options, 0
        self.length = int(self.np_random.integers(2, 9))
        return self._see(), {"seed": seed, "options": options, "length": self.length}

    def step(self, action):
        self.given = [type(action).__name__, repr(action)]
        self.steps += 1
        ended = self.steps >= self.length
        terminated = ended and self.np_random.random() < 0.5
        truncated = ended and (not terminated or self.np_random.random() < 0.3)
        return self._see(), float(self.np_random.normal()), terminated, truncated, self._tell()

    def _see(self):
        low = self.np_random.integers(0, 1 << 30)
        if isinstance(self.observation_space, spaces.Dict):
            picture = self.np_random.integers(0, 256, (4, 4, 1)).astype(np.uint8)
            return {"n": np.int64(low), "a": self._vector(), "b": picture}
        return self._vector() if self.observation_space is VECTOR else np.int64(low)

    def _vector(self):
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def _tell(self) -> dict[str, Any]:
        kind = int(self.np_random.integers(0, 6))
        number = int(self.np_random.integers(0, 100))
        if kind == 0:
            return {}
        told: dict[str, Any] = {"given": self.given, "f": number / 7, "i": number}
        if kind == 1:
            told |= {
                "flag": bool(number % 2),
                "n32": np.float32(number),
                "nb": np.bool_(number % 2),
            }
        elif kind == 2:
            told |= {"array": np.arange(number % 5), "nested": {"a": {"b": number}, "c": None}}
        elif kind == 3:
            told |= {"odd": Odd(number), "text": "x" * number, "huge": 1 << number}
        elif kind == 4:
            told |= {"i": [number], "final_info": number, "_i": True, "TimeLimit.truncated": 3}
        return told

    def render(self):
        return np.full((2, 3, 3), self.rank, np.uint8)

    def add(self, a: int, b: int = 0, **more: int) -> int:
        return self.rank + a + b + sum(more.values())

    def inner_level(self) -> int:
        return self.level

    def whose(self) -> int:
        return self.rank


class Outer(gym.Wrapper):
    """A wrapper."""


class Inner(Outer):
    """Derived from another one."""


def wrapped(rank: int, **kwargs: str) -> gym.Env:
    return Outer(TimeLimit(Told(rank=rank, **kwargs), 1000))


def told(count: int, **kwargs: str) -> list[Any]:
    return [partial(wrapped, rank, **kwargs) for rank in range(count)]


class Slow(gym.Env):
    """A step takes as many seconds as the action says."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(0, 10, (), np.float64)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        time.sleep(action)
        return np.full(1, action / 10, np.float32), float(action), False, False, {"slept": action}
