# SPDX-License-Identifier: MIT
"""EnvPool's interface for Python envs: `import envring.adapters.envpool as envpool`."""

from envring.adapters.envpool.making import (
    list_all_envs,
    make,
    make_dm,
    make_gym,
    make_gymnasium,
    make_spec,
)
from envring.adapters.envpool.pool import EnvPool, GymnasiumEnvPool
from envring.adapters.envpool.spec import EnvSpec

__all__ = [
    "EnvPool",
    "EnvSpec",
    "GymnasiumEnvPool",
    "list_all_envs",
    "make",
    "make_dm",
    "make_gym",
    "make_gymnasium",
    "make_spec",
]
