# SPDX-License-Identifier: MIT
"""Atari games, made by Gymnasium: args and kwargs are those of `gymnasium.make`."""

import ale_py
import gymnasium
from portal_env import EnvSidePortal


def make(id="ALE/Pong-v5", **kwargs):
    gymnasium.register_envs(ale_py)
    return gymnasium.make(id, **kwargs)


if __name__ == "__main__":
    EnvSidePortal(env_factory=make).start()
