# SPDX-License-Identifier: MIT
"""A vector env for workers in other interpreters."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv


class Counting(gym.Env):
    """CountingEnv, of which only Gymnasium is needed."""

    def __init__(self):
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = gym.spaces.Discrete(8)
        self.episode, self.t = -1, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode = 0 if seed is not None else self.episode + 1
        self.t = 0
        return self._observation(-1), {"round": self.episode}

    def step(self, action):
        self.t += 1
        ended = self.t >= (2, 3)[self.episode % 2]
        return self._observation(action), self.t / 8, ended, False, {"t": self.t}

    def _observation(self, action):
        return np.array([0, self.episode, self.t, action], np.float32)


class Odd:
    """Nothing that can be sent."""


class Telling(Counting):
    """Infos with an object of its own in them."""

    def step(self, action):
        *results, info = super().step(action)
        return (*results, {**info, "odd": Odd()})


def make_telling(count):
    """A vector env of so many of these."""
    return SyncVectorEnv([Telling] * count)


def make(count, mode, seed=None, says=None):
    """A vector env of so many; with `says` it tells its mode where Gymnasium does not."""
    if not hasattr(gym.vector, "AutoresetMode"):
        env = SyncVectorEnv([Counting] * count)
        if says:
            env.metadata = dict(env.metadata, autoreset_mode=mode)
        return env
    return SyncVectorEnv([Counting] * count, autoreset_mode=mode)
