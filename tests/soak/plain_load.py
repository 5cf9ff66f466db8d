# SPDX-License-Identifier: MIT
"""Envs whose observations say whether they arrived whole. Runs in workers from Python 3.6 on.

An observation is eight int64: index, number of the episode, steps in it, action, three numbers that
follow from these, and a checksum of the seven.
"""

import os
import struct

import numpy as np

WORDS = 8
MASK = (1 << 62) - 1
FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)
FACTORS = tuple(each & MASK | 1 for each in FACTORS + tuple(5 * each + 2 for each in FACTORS[:3]))


def random_number():
    """The number of an episode: no other has the same."""
    return struct.unpack("<Q", os.urandom(8))[0] & MASK


def row(index, episode, t, action):
    """One observation."""
    words = [index, episode, t, action]
    words += [(episode * (7 + i) + t) & MASK for i in range(3)]
    words.append(sum(word * factor for word, factor in zip(words, FACTORS)) & MASK)
    return np.array(words, np.int64)


def rows(index, episode, t, action):
    """Observations, from arrays."""
    words = np.empty((len(index), WORDS), np.int64)
    for i, column in enumerate((index, episode, t, action)):
        words[:, i] = column
    for i in range(3):
        words[:, 4 + i] = (words[:, 1] * (7 + i) + words[:, 2]) & MASK
    words[:, 7] = checksums(words)
    return words


def checksums(words):
    """What the last words of observations should be."""
    return (words[:, :7] * np.array(FACTORS, np.int64)).sum(axis=1) & MASK


try:
    import gymnasium
    from gymnasium.spaces import Box, Discrete

    Env = gymnasium.Env
except ImportError:
    gymnasium = None
    Env = object

    class Box(object):
        def __init__(self, low, high, shape, dtype):
            self.low, self.high = np.full(shape, low, dtype), np.full(shape, high, dtype)
            self.shape, self.dtype = tuple(shape), np.dtype(dtype)

    class Discrete(object):
        def __init__(self, n):
            self.n = n


class Load(Env):
    """Ends an episode after `length` steps."""

    metadata = {}
    render_mode = None

    def __init__(self, index=0, length=100):
        self.observation_space = Box(-(1 << 62), MASK, (WORDS,), np.int64)
        self.action_space = Discrete(1000)
        self.index, self.length = index, length

    def reset(self, seed=None, options=None):
        self.episode, self.t = random_number(), 0
        return row(self.index, self.episode, 0, 0), {}

    def step(self, action):
        self.t += 1
        observation = row(self.index, self.episode, self.t, int(action))
        return observation, 0.5, self.t == self.length, False, {"t": self.t}

    def close(self):
        pass


def make(index=0, length=100):
    """Makes one: what a host offers."""
    return Load(index, length)


def make_many(first, count):
    """Makes a vector env of `count` that never end, with indices from `first` on."""

    class Many(gymnasium.vector.VectorEnv):
        metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}

        def __init__(self):
            self.num_envs = count
            self.single_observation_space = Box(-(1 << 62), MASK, (WORDS,), np.int64)
            self.single_action_space = Discrete(1000)
            self.observation_space = Box(-(1 << 62), MASK, (count, WORDS), np.int64)
            self.action_space = gymnasium.spaces.MultiDiscrete([1000] * count)
            self.index = np.arange(first, first + count)

        def reset(self, *, seed=None, options=None):
            self.episode = np.array([random_number() for _ in range(count)], np.int64)
            self.t = 0
            return rows(self.index, self.episode, 0, 0), {}

        def step(self, actions):
            self.t += 1
            ended = np.zeros(count, bool)
            observations = rows(self.index, self.episode, self.t, actions)
            return observations, np.full(count, 0.5), ended, ended.copy(), {}

    return Many()
