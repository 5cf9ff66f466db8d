# SPDX-License-Identifier: MIT
"""Envs made to show one cost each: observations, infos, or a step of a given length."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

Reset = tuple[Any, dict[str, Any]]
Step = tuple[Any, float, bool, bool, dict[str, Any]]


class NullEnv(gymnasium.Env[Any, Any]):
    """Does nothing: what remains is the cost of the vector environment itself."""

    observation_space: gymnasium.Space[Any] = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
    action_space: gymnasium.Space[Any] = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self._observation: Any = np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Return the observation every step returns."""
        super().reset(seed=seed)
        return self._observation, {}

    def step(self, action: Any) -> Step:
        """Return the same observation at once; no episode ever ends."""
        return self._observation, 0.0, False, False, {}


class ImageEnv(NullEnv):
    """Returns the same uint8 image each time.

    Args:
        shape: Height, width and channels.
    """

    def __init__(self, shape: tuple[int, ...] = (84, 84, 4)) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self._observation = np.random.default_rng(0).integers(0, 256, shape, np.uint8)


class DictEnv(NullEnv):
    """Observes a Dict of five small Boxes."""

    observation_space = gymnasium.spaces.Dict(
        {
            "joints": gymnasium.spaces.Box(-1.0, 1.0, (8,), np.float32),
            "velocity": gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float64),
            "touch": gymnasium.spaces.Box(0, 1, (6,), np.int8),
            "depth": gymnasium.spaces.Box(0, 255, (8, 8), np.uint8),
            "goal": gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32),
        }
    )

    def __init__(self) -> None:
        self._observation = {
            "joints": np.zeros(8, np.float32),
            "velocity": np.zeros(3, np.float64),
            "touch": np.zeros(6, np.int8),
            "depth": np.zeros((8, 8), np.uint8),
            "goal": np.zeros(2, np.float32),
        }

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Return what every step returns."""
        super().reset(seed=seed)
        return self._observation.copy(), {}

    def step(self, action: Any) -> Step:
        """Return the same arrays in a new dict: some peers write into what they get."""
        return self._observation.copy(), 0.0, False, False, {}


class InfoEnv(NullEnv):
    """Returns five scalar infos with every step."""

    def __init__(self) -> None:
        super().__init__()
        self._frame = 0

    def step(self, action: Any) -> Step:
        """Return a fresh info dict of two ints, two floats and a bool."""
        self._frame = frame = self._frame + 1
        info = {"frame": frame, "lives": 3, "speed": 0.5, "score": frame * 0.25, "grounded": True}
        return self._observation, 0.0, False, False, info


def compute(seconds: float) -> None:
    """Use `seconds` of this thread's processor time.

    By the wall clock, the time that a process waits for a processor would count as computing: peers
    with more processes than processors would seem to compute on more processors than there are.
    """
    clock = time.thread_time
    stop = clock() + seconds
    while clock() < stop:
        pass


class SpinEnv(NullEnv):
    """Computes for a fixed time in each step.

    Args:
        seconds: Processor time that a step takes.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def step(self, action: Any) -> Step:
        """Compute, then do what NullEnv does."""
        compute(self._seconds)
        return self._observation, 0.0, False, False, {}


class TailEnv(NullEnv):
    """Steps of heavy-tailed lengths: most are short, one in a hundred takes eleven times the mean.

    The lengths are lognormal with a coefficient of variation of 2.35, drawn again at each seeded
    reset and then repeated in turn. Each draw is scaled to the same mean, so that no env, and no
    peer, has more to do than another.

    Args:
        mean: Seconds of a step, on average.
        sleeps: Whether a step sleeps, as if it waited for a simulator elsewhere, or computes.
    """

    DRAWN = 4096
    SIGMA = math.sqrt(math.log(1 + 2.35**2))

    def __init__(self, mean: float, *, sleeps: bool = False) -> None:
        super().__init__()
        self._mean = mean
        self._spend = time.sleep if sleeps else compute
        self._lengths: Iterator[float] = itertools.repeat(mean)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Draw the lengths of steps if `seed` is given."""
        result = super().reset(seed=seed)
        if seed is not None:
            drawn = self.np_random.lognormal(0.0, self.SIGMA, self.DRAWN)
            self._lengths = itertools.cycle((drawn * (self._mean / drawn.mean())).tolist())
        return result

    def step(self, action: Any) -> Step:
        """Take the next length of time, then do what NullEnv does."""
        self._spend(next(self._lengths))
        return self._observation, 0.0, False, False, {}
