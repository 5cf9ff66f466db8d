# SPDX-License-Identifier: MIT
"""An env whose resets are told apart, for Python 3 with gymnasium."""

import time

import gymnasium
import numpy as np


class Resets(gymnasium.Env):
    """Counts its resets; one of them may raise or take long."""

    def __init__(self, raises=-1, hangs=-1, informs=False):
        self.observation_space = gymnasium.spaces.Box(-9, 9, (2,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(2)
        self._raises = raises
        self._hangs = hangs
        self._informs = informs
        self._resets = -1

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self._resets += 1
        if self._resets == self._raises:
            raise ValueError("this reset fails")
        if self._resets == self._hangs:
            time.sleep(3600)
        info = {"resets": self._resets, "options": options} if self._informs else {}
        return np.array([self._resets, self.np_random.uniform()]), info

    def step(self, action):
        return np.array([self._resets, self.np_random.uniform()]), 1.0, True, True, {}
