# SPDX-License-Identifier: MIT
"""Parallel envs of PettingZoo as one vector env whose rows are their agents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


class AgentVectorEnv(VectorEnv[Any, Any, Any]):
    """Each agent that there can be has a row: the first env's agents first, in their order.

    An env is reset when no agent of it lives. A row is filled with zeros while its agent has no
    observation, its reward is 0 and its flags are False while the env tells none. Two masks in
    infos, bool (num_envs,), are there after each reset and step:

    - "living": the agent is in `env.agents`. Its action in the next step counts; others do not.
    - "present": the observation is the agent's own.

    So a row's step is one to learn from if "living" was True before it. Agents may leave, and come
    back. In the mode SameStep, "final_obs" and "final_info" have the last ones of the agents that
    have ended, as everywhere in Gymnasium; the row itself has the first observation of the next
    episode if the env was reset, or else zeros.

    Args:
        makes: functions that make the envs.
        autoreset_mode: when an env is reset after its last agent has ended; the enum or its value.
            "Disabled": by `reset(options={"reset_mask": ...})`, all rows of an env at once.

    Attributes:
        envs: the parallel envs.
        possible_agents: whose the rows are.

    Raises:
        SourceError: an env is not a parallel one.
        SpaceMismatchError: the agents' spaces differ.
    """

    def __init__(
        self,
        makes: Sequence[Callable[[], Any]],
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        """Makes the envs."""
        self.envs = [self._checked(make()) for make in makes]
        self._agents = [list(env.possible_agents) for env in self.envs]
        self.possible_agents = [agent for agents in self._agents for agent in agents]
        self.num_envs = count = len(self.possible_agents)
        self._firsts = np.cumsum([0, *map(len, self._agents)]).tolist()
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = dict(getattr(self.envs[0], "metadata", None) or {})
        self.metadata["autoreset_mode"] = self.autoreset_mode
        self.render_mode = getattr(self.envs[0], "render_mode", None)
        self.single_observation_space = self._common("observation_space")
        self.single_action_space = self._common("action_space")
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)
        nothing = create_empty_array(self.single_observation_space, n=1)
        (self._nothing,) = iterate(batch_space(self.single_observation_space, 1), nothing)
        self._rows: list[Any] = [self._nothing] * count
        self._living = np.zeros(count, bool)
        self._present = np.zeros(count, bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Resets the envs.

        Args:
            seed: one seed s, which gives the env whose rows begin at i the seed s + i; or one per
                row, of which an env gets its first.
            options: for the envs, without `reset_mask`: bool (num_envs,), the rows of the envs that
                are reset.

        Raises:
            ValueError: reset_mask names some of an env's agents only.
        """
        given = dict(options or {})
        mask = given.pop("reset_mask", None)
        seeds: dict[int, Any] = {}  # of those that are reset
        for n, (_, agents, first) in enumerate(self._each()):
            named = True if mask is None else mask[first : first + len(agents)]
            if not np.any(named):
                continue
            if not np.all(named):
                raise ValueError(f"Agents of an env are reset together, and reset_mask is {mask}.")
            seeds[n] = seed
            if seed is not None:
                seeds[n] = seed + first if isinstance(seed, (int, np.integer)) else seed[first]
        infos = self._reset_some({}, seeds, given or None)
        return self._batch(), self._masked(infos)

    def step(self, actions: Any) -> Results:
        """Steps the envs with the actions of the agents that live."""
        chosen = list(iterate(self.action_space, actions))
        rewards = np.zeros(self.num_envs)
        flags = np.zeros((2, self.num_envs), bool)
        acting: dict[int, dict[Any, Any]] = {}
        over: dict[int, None] = {}  # envs that are reset, and their seeds
        for n, (env, agents, first) in enumerate(self._each()):
            if self.autoreset_mode == AutoresetMode.NEXT_STEP and not env.agents:
                over[n] = None
                continue
            end = first + len(agents)
            items = zip(agents, chosen[first:end], self._living[first:end].tolist(), strict=True)
            acting[n] = {agent: action for agent, action, lives in items if lives}
        infos: dict[str, Any] = {}
        for n, told_all in self._step_envs(acting):
            observations, earned, terminated, truncated, told = told_all
            env, agents, first = self.envs[n], self._agents[n], self._firsts[n]
            for row, agent in enumerate(agents, first):
                rewards[row] = earned.get(agent, 0)
                flags[:, row] = terminated.get(agent, False), truncated.get(agent, False)
            if self.autoreset_mode == AutoresetMode.SAME_STEP:
                ended = (flags[0] | flags[1])[first : first + len(agents)]
                gone = {agents[place] for place in ended.nonzero()[0].tolist()}
                if gone:
                    infos = self._add_finals(agents, first, infos, gone, observations, told)
                    if not env.agents:
                        over[n] = None
                        continue
                    observations = {a: each for a, each in observations.items() if a not in gone}
                    told = {a: each for a, each in told.items() if a not in gone}
            infos = self._keep(n, infos, observations, told)
        infos = self._reset_some(infos, over)
        return self._batch(), rewards, flags[0], flags[1], self._masked(infos)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """An attribute of each env, called if it is callable; the same for all of its rows."""
        values: list[Any] = []
        for env, agents, _ in self._each():
            found = getattr(env, name)
            values += [found(*args, **kwargs) if callable(found) else found] * len(agents)
        return tuple(values)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of each env; of a list or tuple, which has one per row, its first."""
        several = isinstance(values, (list, tuple))
        for env, _, first in self._each():
            setattr(env, name, values[first] if several else values)

    def render(self) -> tuple[Any, ...]:
        """What each env renders, for all of its rows."""
        return self.call("render")

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the envs."""
        for env in self.envs:
            env.close()

    # -- how --------------------------------------------------------------------------------

    def _each(self) -> Iterator[tuple[Any, list[Any], int]]:
        """Each env, its agents, and its first row."""
        return zip(self.envs, self._agents, self._firsts, strict=False)

    def _checked(self, env: Any) -> Any:
        if not is_parallel(env):
            raise SourceError(f"{env} is not a parallel env of PettingZoo.")
        return env

    def _common(self, name: str) -> Space[Any]:
        """The space that all agents have."""
        both = [(agent, getattr(env, name)(agent)) for env, a, _ in self._each() for agent in a]
        first, wanted = both[0]
        for agent, space in both:
            if space != wanted:
                raise SpaceMismatchError(
                    f"As rows of one vector env, agents need the same {name}: that of {first!r} is "
                    f"{wanted}, that of {agent!r} is {space}. supersuit's pad_observations and "
                    "pad_action_space make them equal; parallel_env keeps them apart."
                )
        return deepcopy(wanted)

    def _step_envs(self, acting: Mapping[int, Mapping[Any, Any]]) -> Iterable[tuple[int, Any]]:
        """Steps envs by their numbers; each with what it returns."""
        return ((n, self.envs[n].step(actions)) for n, actions in acting.items())

    def _reset_envs(self, seeds: Mapping[int, Any], options: Any) -> Iterable[tuple[int, Any]]:
        """Resets envs by their numbers; each with what it returns."""
        return ((n, self.envs[n].reset(seed=seed, options=options)) for n, seed in seeds.items())

    def _reset_some(
        self, infos: dict[str, Any], seeds: Mapping[int, Any], options: Any = None
    ) -> dict[str, Any]:
        """Resets envs; returns infos with those of their agents."""
        for n, (observations, told) in self._reset_envs(seeds, options) if seeds else ():
            infos = self._keep(n, infos, observations, told)
        return infos

    def _keep(
        self,
        n: int,
        infos: dict[str, Any],
        observations: Mapping[Any, Any],
        told: Mapping[Any, Any],
    ) -> dict[str, Any]:
        """Keeps what an env told; returns infos with those of its agents."""
        env, agents, first = self.envs[n], self._agents[n], self._firsts[n]
        lives = set(env.agents)
        for row, agent in enumerate(agents, first):
            self._living[row] = agent in lives
            self._present[row] = agent in observations
            self._rows[row] = observations.get(agent, self._nothing)
            if told.get(agent):
                infos = self._add_info(infos, told[agent], row)
        return infos

    def _add_finals(
        self, agents: list[Any], first: int, infos: Any, gone: Any, observations: Any, told: Any
    ) -> dict[str, Any]:
        for row, agent in enumerate(agents, first):
            if agent in gone:
                last = observations.get(agent, self._nothing)
                final = {"final_obs": last, "final_info": told.get(agent, {})}
                infos = self._add_info(infos, final, row)
        return dict(infos)

    def _batch(self) -> Any:
        empty: Any = create_empty_array(self.single_observation_space, n=self.num_envs)
        return concatenate(self.single_observation_space, self._rows, empty)

    def _masked(self, infos: dict[str, Any]) -> dict[str, Any]:
        infos["living"], infos["present"] = self._living.copy(), self._present.copy()
        return infos
