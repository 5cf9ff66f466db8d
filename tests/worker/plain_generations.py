# SPDX-License-Identifier: MIT
"""Envs as gym had them over the years, for checks."""

import numpy as np
from plain_spaces import Box, Discrete


class Env(object):
    """An env that notes what is asked of it; `reset` comes from the classes below."""

    observation_space = Box(-1.0, 1.0, (2,))
    action_space = Discrete(4)
    info = {"level": 3}

    def __init__(self):
        self.heard = []

    def obs(self):
        return np.ones(2, np.float32)

    def step(self, action):
        return self.obs(), 1.0, False, {}


class Wrapper(object):
    """As gym's, up to 0.21: it hands any keyword on and forwards attributes."""

    def __init__(self, env):
        self.env = env

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError("private %s" % name)
        return getattr(self.env, name)

    def step(self, action):
        return self.env.step(action)

    def reset(self, **kwargs):
        return self.env.reset(**kwargs)

    def seed(self, seed=None):
        return self.env.seed(seed)

    def render(self, mode="human", **kwargs):
        return self.env.render(mode, **kwargs)


class Modern(Env):
    def reset(self, seed=None, options=None):
        self.heard.append((seed, options))
        return self.obs(), self.info


class Bare(Env):
    """As gym's, up to 0.21."""

    def reset(self):
        self.heard.append("reset")
        return self.obs()

    def seed(self, seed=None):
        self.heard.append(seed)
        return [seed]


class Between(Env):
    """As gym's, 0.22 to 0.25."""

    def reset(self, seed=None, return_info=False, options=None):
        self.heard.append((seed, options))
        return (self.obs(), self.info) if return_info else self.obs()


class Swallowing(Env):
    """Takes whatever there is, and complains of some of it itself."""

    knows = ("seed",)

    def reset(self, **kwargs):
        for name in kwargs:
            if name not in self.knows:
                raise TypeError("reset() got an unexpected keyword argument %r" % name)
        self.heard.append(kwargs)
        return self.obs()


class Seedless(Env):
    def reset(self):
        return self.obs()


def same_reset(result, info):
    obs, found = result
    assert np.array_equal(obs, np.ones(2)) and found == info, result
