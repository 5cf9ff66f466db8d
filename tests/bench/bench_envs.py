# SPDX-License-Identifier: MIT
"""Envs for the benchmark's tests: one that counts, and some that fail in AsyncVectorEnv only."""

import multiprocessing
import os
import signal

import gymnasium
import numpy as np


class Counting(gymnasium.Env):
    """Episodes of 1 to 5 steps in turn, truncated and terminated by turns; counts all steps."""

    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    steps_taken = 0

    def __init__(self):
        self.episode = self.at = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.at = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        Counting.steps_taken += 1
        self.at += 1
        done = self.at >= 1 + self.episode % 5
        odd = bool(self.episode % 2)
        return np.zeros(1, np.float32), 0.0, done and odd, done and not odd, {}


class Failing(Counting):
    """Does `fail` in its second step, but only in a worker process: no slice is shorter."""

    def step(self, action):
        if Counting.steps_taken == 1 and multiprocessing.parent_process() is not None:
            self.fail()
        return super().step(action)


class Raises(Failing):
    def fail(self):
        raise RuntimeError("[red]boom")


class KillsTheCaller(Failing):
    def fail(self):
        os.kill(os.getppid(), signal.SIGKILL)


class Hangs(Failing):
    def fail(self):
        signal.pause()
