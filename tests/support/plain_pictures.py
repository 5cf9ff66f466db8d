# SPDX-License-Identifier: MIT
"""An env with large observations and large actions that shrink well, for gymnasium."""

import gymnasium
import numpy as np


class Pictures(gymnasium.Env):
    """Shows stripes that actions move."""

    def __init__(self, noise=False):
        self.observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
        self.action_space = gymnasium.spaces.Box(-9, 9, (4096,), np.float64)
        self._noise = noise

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self._at = int(self.np_random.integers(84))
        return self._observe(), {"at": self._at}

    def _observe(self):
        shape = self.observation_space.shape
        if self._noise:
            return self.np_random.integers(0, 256, shape, dtype=np.uint8)
        picture = np.zeros(shape, np.uint8)
        picture[self._at % 84] = self._at % 256
        return picture

    def step(self, action):
        self._at += int(action[0])
        return self._observe(), float(action.sum()), self._at % 7 == 0, False, {"at": self._at}


def make(noise=False):
    return Pictures(noise)
