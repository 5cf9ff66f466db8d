# SPDX-License-Identifier: MIT
"""A parallel env of PettingZoo as a vector env whose rows are its agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np
from gymnasium import Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from envring._foreign.envring_worker.envs.agents import is_parallel
from envring.batch.spaces import SpaceMismatchError
from envring.errors import SourceError

Results: TypeAlias = tuple[Any, Any, Any, Any, dict[str, Any]]

LIVING, PRESENT = "living", "present"  # masks in infos


class AgentVectorEnv(VectorEnv[Any, Any, Any]):
    """Each agent that there can be has a row, in the order of `possible_agents`.

    The env is reset when no agent lives. A row is filled with zeros while its agent has no
    observation, its reward is 0 and its flags are False while the env tells none. Two masks in
    infos, bool (num_envs,), are there after each reset and step:

    - "living": the agent is in `env.agents`. Its action in the next step counts; others do not.
    - "present": the observation is the agent's own.

    So a row's step is one to learn from if "living" was True before it. Agents may leave, and come
    back. In the mode SameStep, "final_obs" and "final_info" have the last ones of the agents that
    have ended, as everywhere in Gymnasium; the row itself has the first observation of the next
    episode if the env was reset, or else zeros.

    Args:
        make: makes the env.
        autoreset_mode: when the env is reset after its last agent has ended; the enum or its value.
            "Disabled": by `reset(options={"reset_mask": ...})`, all rows of the env at once.

    Attributes:
        env: the parallel env.
        possible_agents: whose the rows are.

    Raises:
        SourceError: it is not a parallel env.
        SpaceMismatchError: the agents' spaces differ.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        """Makes the env."""
        self.env = env = make()
        if not is_parallel(env):
            raise SourceError(f"{env} is not a parallel env of PettingZoo.")
        self.possible_agents = list(env.possible_agents)
        self.num_envs = count = len(self.possible_agents)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = dict(getattr(env, "metadata", None) or {})
        self.metadata["autoreset_mode"] = self.autoreset_mode
        self.render_mode = getattr(env, "render_mode", None)
        self.single_observation_space = self._common("observation_space")
        self.single_action_space = self._common("action_space")
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)
        nothing = create_empty_array(self.single_observation_space, n=1)
        (self._nothing,) = iterate(batch_space(self.single_observation_space, 1), nothing)
        self._over = True

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Resets the env.

        Args:
            seed: of the env; of a list, the first.
            options: for the env, without `reset_mask`.

        Raises:
            ValueError: reset_mask names some of the agents only.
        """
        given = dict(options or {})
        mask = given.pop("reset_mask", None)
        if mask is not None and not np.all(mask):
            raise ValueError(f"Agents of one env are reset together, and reset_mask is {mask}.")
        first = seed[0] if isinstance(seed, (list, tuple, np.ndarray)) else seed
        observations, told = self.env.reset(seed=first, options=given or None)
        self._over = not self.env.agents
        return self._batch(observations), self._infos(told, observations)

    def step(self, actions: Any) -> Results:
        """Steps the env with the actions of the agents that live."""
        if self._over and self.autoreset_mode == AutoresetMode.NEXT_STEP:
            observations, infos = self.reset()
            return observations, np.zeros(self.num_envs), self._flags({}), self._flags({}), infos
        living = set(self.env.agents)
        items = zip(self.possible_agents, iterate(self.action_space, actions), strict=True)
        acting = {agent: action for agent, action in items if agent in living}
        observations, rewards, terminations, truncations, told = self.env.step(acting)
        self._over = not self.env.agents
        outcomes = (
            np.array([float(rewards.get(agent, 0)) for agent in self.possible_agents]),
            self._flags(terminations),
            self._flags(truncations),
        )
        if self.autoreset_mode != AutoresetMode.SAME_STEP:
            return self._batch(observations), *outcomes, self._infos(told, observations)
        ended = outcomes[1] | outcomes[2]
        return self._after_ends(ended, observations, told, outcomes)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """An attribute of the env, called if it is callable; the same for all of its rows."""
        found = getattr(self.env, name)
        return (found(*args, **kwargs) if callable(found) else found,) * self.num_envs

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of the env: the first of a list or tuple, or else the value."""
        setattr(self.env, name, values[0] if isinstance(values, (list, tuple)) else values)

    def render(self) -> tuple[Any, ...]:
        """What the env renders, for all of its rows."""
        return (self.env.render(),) * self.num_envs

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the env."""
        self.env.close()

    # -- how --------------------------------------------------------------------------------

    def _common(self, name: str) -> Space[Any]:
        """The space that all agents have."""
        spaces = {agent: getattr(self.env, name)(agent) for agent in self.possible_agents}
        first = next(iter(spaces))
        for agent, space in spaces.items():
            if space != spaces[first]:
                raise SpaceMismatchError(
                    f"As rows of one vector env, agents need the same {name}: that of {first!r} is "
                    f"{spaces[first]}, that of {agent!r} is {space}. supersuit's pad_observations "
                    "and pad_action_space make them equal; parallel_env keeps them apart."
                )
        return deepcopy(spaces[first])

    def _batch(self, observations: Mapping[Any, Any]) -> Any:
        rows = [observations.get(agent, self._nothing) for agent in self.possible_agents]
        empty: Any = create_empty_array(self.single_observation_space, n=self.num_envs)
        return concatenate(self.single_observation_space, rows, empty)

    def _flags(self, by_agent: Mapping[Any, Any]) -> Any:
        return np.array([bool(by_agent.get(agent, False)) for agent in self.possible_agents])

    def _infos(self, told: Mapping[Any, Any], observations: Mapping[Any, Any]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for row, agent in enumerate(self.possible_agents):
            infos = self._add_info(infos, told.get(agent, {}), row)
        infos[LIVING] = self._flags(dict.fromkeys(self.env.agents, True))
        infos[PRESENT] = self._flags(dict.fromkeys(observations, True))
        return infos

    def _after_ends(self, ended: Any, observations: Any, told: Any, outcomes: Any) -> Results:
        """A step of the mode SameStep."""
        finals: dict[str, Any] = {}
        rows = zip(self.possible_agents, ended.tolist(), strict=True)
        gone = [agent for agent, has_ended in rows if has_ended]
        for row, agent in enumerate(self.possible_agents):
            if agent in gone:
                last = {
                    "final_obs": observations.get(agent, self._nothing),
                    "final_info": told.get(agent, {}),
                }
                finals = self._add_info(finals, last, row)
        if self._over:
            batch, infos = self.reset()
        else:
            left = {agent: each for agent, each in observations.items() if agent not in gone}
            said = {agent: each for agent, each in told.items() if agent not in gone}
            batch, infos = self._batch(left), self._infos(said, left)
        return batch, *outcomes, {**infos, **finals}
