# SPDX-License-Identifier: MIT
"""The pool as a `dm_env.Environment`; it needs dm_env."""

from __future__ import annotations

from typing import Any

import numpy as np

from envring.adapters.envpool.dm_specs import named
from envring.adapters.envpool.pool import Batch, EnvPool

import dm_env  # isort: skip  # after the module that says what to install


class DMEnvPool(EnvPool, dm_env.Environment):  # type: ignore[misc]
    """A pool whose results are `dm_env.TimeStep`s of arrays, a row per env.

    `step_type` is int32, `reward` and `discount` are float32. `observation` is a namedtuple:
    `env_id`, `players`, what infos tell, and `obs`, or the items of an observation that is a dict.
    """

    def observation_spec(self) -> Any:
        """See `EnvSpec.observation_spec`."""
        return self.spec.observation_spec()

    def action_spec(self) -> Any:
        """See `EnvSpec.action_spec`."""
        return self.spec.action_spec()

    def _told(self, batch: Batch, reset: bool) -> Any:
        observations, rewards, terminations, truncations, infos = batch
        done = terminations | truncations
        step_type = np.minimum(infos.pop("elapsed_step"), 1)
        step_type[done] = dm_env.StepType.LAST
        whose = {name: infos.pop(name) for name in ("env_id", "players")}
        told = {key: value for key, value in infos.items() if not key.startswith("_")}
        seen = observations if isinstance(observations, dict) else {"obs": observations}
        return dm_env.TimeStep(
            step_type=step_type,
            reward=rewards,
            discount=(~done).astype(np.float32),
            observation=named("State", {**whose, **told, **seen}),
        )
