# SPDX-License-Identifier: MIT
"""Envs that do not end well; hosts run this file in their workers."""

import os
import signal
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete


class Odd(gym.Env):
    """Hangs, takes its time, or raises at one place; says there that it does."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, where="", how="", announce=""):
        self.where, self.how, self.announce = where, how, announce
        self.at("init")
        if where == "second":  # which takes the place of the first
            before = Path(announce + ".first")
            if before.exists():
                self.at("second")
            before.touch()

    def at(self, where):
        if where != self.where:
            return
        if self.announce:
            with open(self.announce + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.replace(self.announce + ".new", self.announce)
        if self.how == "raises":
            raise ValueError(f"raised in {where}")
        time.sleep({"hangs": 3600, "slow": 1.5}[self.how])

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.at("step")
        if self.where == "second":
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros(2, np.float32), 0.0, False, False, {}

    def close(self):
        self.at("close")
