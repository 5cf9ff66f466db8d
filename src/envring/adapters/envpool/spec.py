# SPDX-License-Identifier: MIT
"""What a pool of envs was made of, as EnvPool tells it."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from typing import Any

from gymnasium import Space


class EnvSpec:
    """Options of a pool, and the spaces of one env.

    Args:
        task_id: the name of the env.
        config: options by name.
        observation_space: of one env.
        action_space: of one env.

    Attributes:
        id: the name of the env.
        config: the options, a namedtuple.
        observation_space: of one env.
        action_space: of one env.
        reward_threshold: from which on the task counts as solved, or None.
    """

    def __init__(
        self,
        task_id: str,
        config: Mapping[str, Any],
        observation_space: Space[Any],
        action_space: Space[Any],
    ) -> None:
        """Keeps what it is told."""
        self.id = task_id
        self.config: Any = namedtuple("Config", config, rename=True)(*config.values())
        self.observation_space = self.gymnasium_observation_space = observation_space
        self.action_space = self.gymnasium_action_space = action_space
        self.reward_threshold: float | None = config["reward_threshold"]

    def observation_spec(self) -> Any:
        """What dm_env's time steps hold as observation: a namedtuple of `dm_env.specs`.

        Raises:
            ModuleNotFoundError: dm_env is not installed.
        """
        from envring.adapters.envpool import dm_specs

        return dm_specs.state_spec(self.observation_space)

    def action_spec(self) -> Any:
        """The action space as one of `dm_env.specs`, or as a namedtuple of them.

        Raises:
            ModuleNotFoundError: dm_env is not installed.
        """
        from envring.adapters.envpool import dm_specs

        return dm_specs.spec("action", self.action_space)

    def __repr__(self) -> str:
        """As EnvPool writes it: with all options."""
        return f"EnvSpec{repr(self.config).removeprefix('Config')}"
