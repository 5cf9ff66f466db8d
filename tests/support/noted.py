# SPDX-License-Identifier: MIT
"""An env for what interfaces of other libraries ask; it needs Gymnasium alone."""

import gymnasium as gym
import numpy as np


class Noted(gym.Env):
    """Tells of which types its infos are."""

    observation_space = gym.spaces.Box(0, 9, (1,), np.float32)
    action_space = gym.spaces.Dict({"a": gym.spaces.Discrete(3)})
    render_mode = None

    def __init__(self, rank=0):
        self.rank, self.level = rank, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {"seed": seed}

    def step(self, action):
        self.count += 1
        told = [{}, {"n": self.count}, {"n": float(self.count), "a": [1]}, {"n": {"n": None}}]
        if self.count > 3:
            return np.ones(1, np.float32), 0.0, True, False, {"last": action}
        return np.ones(1, np.float32), 0.0, False, False, told[self.count]

    def name(self, name="", env=None):
        return f"{name}{self.rank}"


class Outer(gym.Wrapper):
    pass


def wrapped(rank):
    return Outer(Noted(rank))
