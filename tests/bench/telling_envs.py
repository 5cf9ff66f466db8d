# SPDX-License-Identifier: MIT
"""An env that tells of each of its steps, whatever process it is in."""

import functools
import os

import gymnasium
import numpy as np


class Telling(gymnasium.Env):
    """Episodes of `shortest` to 4 more steps in turn; each step adds its action to a file."""

    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, folder, shortest):
        self.steps = os.path.join(folder, "steps")
        self.shortest = shortest
        self.episode = self.at = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.at = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        with open(self.steps, "ab", buffering=0) as file:
            file.write(b"1" if action else b"0")
        self.at += 1
        done = self.at >= self.shortest + self.episode % 5
        odd = bool(self.episode % 2)
        return np.zeros(1, np.float32), 0.0, done and odd, done and not odd, {}


class Ends(Telling):
    """Ends its process in its first step."""

    def __init__(self):
        super().__init__("", 1)

    def step(self, action):
        os._exit(3)


def telling(folder, shortest=1):
    """A function that builds an env which tells in `folder`."""
    return functools.partial(Telling, str(folder), shortest)
