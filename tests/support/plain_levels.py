# SPDX-License-Identifier: MIT
"""Envs that can take each other's place, for Python 3 with gymnasium."""

import os

import gymnasium
import numpy as np

CLOSED = []


class Level(gymnasium.Env):
    """Says which level it is."""

    def __init__(self, number, size=3, start=0):
        self.observation_space = gymnasium.spaces.Box(-9, 9, (size,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(2)
        self._number = number
        self._size = size
        self._start = start

    def _observe(self):
        return np.array([self._number, self._t, self._start] + [0] * (self._size - 3), np.float64)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self._t = 0
        self._options = options
        return self._observe(), {f"level {self._number}": seed}

    def step(self, action):
        self._t += 1
        return self._observe(), float(self._number), self._t == 3, False, {}

    def close(self):
        CLOSED.append(self._number)

    def facts(self):
        return {"pid": os.getpid(), "closed": list(CLOSED), "options": self._options}


def one(start=0):
    return Level(1, start=start)


def two():
    return Level(2)


def three():
    return Level(3)


def wide():
    return Level(4, size=4)


def broken():
    raise ValueError("this level needs a licence")


def again(made=[]):  # noqa: B006
    made.append(Level(5))
    return made[0]
