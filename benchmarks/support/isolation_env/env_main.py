# SPDX-License-Identifier: MIT
"""CartPole with a space that Portal-Env can read: all bounds of its Box are the same."""

import sys

import gymnasium
import numpy as np


class UniformBox(gymnasium.Wrapper):
    """Says that observations lie between -10 and 10."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(-10.0, 10.0, (4,), np.float32)


def make():
    return UniformBox(gymnasium.make("CartPole-v1"))


if __name__ == "__main__":
    from portal_env import EnvSidePortal

    EnvSidePortal(env_factory=make, port=int(sys.argv[1])).start()
