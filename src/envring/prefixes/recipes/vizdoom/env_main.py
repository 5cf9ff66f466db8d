# SPDX-License-Identifier: MIT
"""Doom, made by Gymnasium: args and kwargs are those of `gymnasium.make`."""

import gymnasium
import vizdoom.gymnasium_wrapper  # noqa: F401 - registers the ids
from portal_env import EnvSidePortal


def make(id="VizdoomBasic-v1", **kwargs):
    return gymnasium.make(id, **kwargs)


if __name__ == "__main__":
    EnvSidePortal(env_factory=make).start()
