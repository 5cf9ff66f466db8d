# SPDX-License-Identifier: MIT
"""Vector envs to be hosted, and vector envs of them."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

import envring
from envring.testing import CountingEnv
from envring.testing.conformance_base import quiet

PLAIN = f"{Path(__file__).with_name('plain_vectors.py')}:make"  # for other interpreters


@contextlib.contextmanager
def running(env_fns, **kwargs):
    envs = envring.RingVectorEnv(env_fns, **kwargs)
    try:
        yield envs
    finally:
        with quiet():
            envs.close()


def several(fns, mode="NextStep", wrap=lambda env: env):
    """A vector env of some of the single envs."""
    return wrap(SyncVectorEnv(fns, autoreset_mode=mode))


def divided(fns, sizes, mode, wrap=lambda env: env):
    """Functions that make vector envs of so many envs each, of all of these in order."""
    ends = np.cumsum(sizes)
    return [
        partial(several, fns[end - size : end], mode, wrap)
        for size, end in zip(sizes, ends, strict=True)
    ]


def counting(count):
    return [partial(CountingEnv, lengths=(2, 3)) for _ in range(count)]


class Telling(VectorEnv):
    """A vector env with infos of its own making."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, infos, num_envs=2, step=None):
        self.num_envs = num_envs
        self.single_observation_space = Box(-1, 1, (3,), np.float32)
        self.single_action_space = Discrete(2)
        self.observation_space = Box(-1, 1, (num_envs, 3), np.float32)
        self.action_space = gym.spaces.MultiDiscrete([2] * num_envs)
        self.infos = infos
        self.given = step
        self.resets = []

    def reset(self, *, seed=None, options=None):
        self.resets.append((seed, options))
        return np.zeros((self.num_envs, 3), np.float32), {}

    def step(self, action):
        n = self.num_envs
        result = [np.ones((n, 3), np.float32), np.ones(n), np.zeros(n, bool), np.zeros(n, bool)]
        for index, value in (self.given or {}).items():
            result[index] = value
        return (*result, self.infos)
