# SPDX-License-Identifier: MIT
"""MuJoCo's robots, made by Gymnasium: args and kwargs are those of `gymnasium.make`."""

import gymnasium
from portal_env import EnvSidePortal


def make(id="Ant-v5", **kwargs):
    return gymnasium.make(id, **kwargs)


if __name__ == "__main__":
    EnvSidePortal(env_factory=make).start()
