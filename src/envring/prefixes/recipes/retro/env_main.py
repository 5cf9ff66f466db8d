# SPDX-License-Identifier: MIT
"""Console games of Gym Retro: args and kwargs are those of `retro.make`.

A process can hold only one emulator: use as many workers as envs. Games other than the free one
need their ROM: `envring env run retro python -m retro.import DIRECTORY` imports it.
"""

import retro
from portal_env import EnvSidePortal


def make(game="Airstriker-Genesis", use_restricted_actions="filtered", **kwargs):
    restricted = retro.Actions[use_restricted_actions.upper()]
    return retro.make(game, use_restricted_actions=restricted, **kwargs)


if __name__ == "__main__":
    EnvSidePortal(env_factory=make).start()
