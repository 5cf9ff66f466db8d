# SPDX-License-Identifier: MIT
"""The same envs for gym 0.17 and Gymnasium; a host runs this file as `setup`."""

from __future__ import absolute_import, division, print_function

import numpy as np

try:
    import gymnasium as gym
except ImportError:
    import gym

MODERN = gym.__name__ == "gymnasium"


class Line(gym.Env):
    """Where actions lead on a line; ends at the fourth step."""

    observation_space = gym.spaces.Box(-2.5, 2.5, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.t, self.place = 0, 0.1
        return (self._seen(), {}) if MODERN else self._seen()

    def step(self, action):
        assert self.action_space.contains(action)
        self.t += 1
        self.place += float(np.sum(action)) / 3 - 0.1
        over, info = self.t >= 4, {"t": self.t, "name": "a line"}
        if MODERN:
            return self._seen(), self.t / 3, over, False, info
        return self._seen(), self.t / 3, over, info

    def _seen(self):
        return np.array([self.place, self.t, -1e-7], np.float32)


class Push(Line):
    """The same with a force."""

    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def step(self, action):
        return Line.step(self, np.array(action, np.float32))


def register():
    for kind in (Line, Push):
        options = {"disable_env_checker": True, "order_enforce": False} if MODERN else {}
        gym.envs.registration.register(kind.__name__ + "-v0", entry_point=kind, **options)


register()
