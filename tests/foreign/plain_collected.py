# SPDX-License-Identifier: MIT
"""An env that knows what the garbage collector traverses, for Python 3.7 and newer."""

import gc

import gymnasium


class Collected(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        return 0, {}

    def spared(self):
        """Number of objects that are left out."""
        return gc.get_freeze_count()

    def is_spared(self):
        """Whether this env is left out."""
        return not any(found is self for found in gc.get_objects())
