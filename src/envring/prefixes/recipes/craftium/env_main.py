# SPDX-License-Identifier: MIT
"""Craftium's worlds, made by Gymnasium: args and kwargs are those of `gymnasium.make`."""

import craftium  # noqa: F401 - registers the ids
import gymnasium
from portal_env import EnvSidePortal


class PlainActions(gymnasium.ActionWrapper):
    """Passes Python ints to envs that reject NumPy's."""

    def action(self, action):
        return int(action) if getattr(action, "shape", None) == () else action


def make(id="Craftium/ChopTree-v0", **kwargs):
    return PlainActions(gymnasium.make(id, **kwargs))


if __name__ == "__main__":
    EnvSidePortal(env_factory=make).start()
