# SPDX-License-Identifier: MIT
"""Agents as rows of envs that are stepped in other interpreters or on hosts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import iterate

from envring._foreign.envring_worker.envs.agents import Agents, Told
from envring._foreign.envring_worker.lost import RESTARTED
from envring.adapters.agent_rows import AgentVectorEnv
from envring.adapters.listed import ListedEnvs
from envring.errors import SourceError


class _Env:
    """What `AgentVectorEnv` asks of an env that is stepped elsewhere."""

    def __init__(self, envs: ListedEnvs, agents: Agents) -> None:
        self.metadata = dict(envs.metadata)
        self.render_mode = envs.render_mode
        self.possible_agents = list(agents.names)
        self.agents: list[Any] = []
        self._agents = agents

    def observation_space(self, agent: Any) -> Any:
        return self._agents.observation_spaces[agent]

    def action_space(self, agent: Any) -> Any:
        return self._agents.action_spaces[agent]


class AgentsElsewhere(AgentVectorEnv):
    """An `AgentVectorEnv` of envs that a vector env steps, each as an env of several agents.

    Rows are made here, and resets are asked for from here: after an episode has ended, that is one
    exchange more with those that are reset, whatever the mode.

    Where an env is restarted (`on_worker_death`, `restart_every`), infos["worker_restarted"] is
    True in its rows. If that was in an episode, all of its rows end: with their last observations,
    rewards of 0, and truncations; no agent of it is "living" or "present".

    Args:
        envs: in the mode Disabled; closed with this one.
        autoreset_mode: as for `AgentVectorEnv`.

    Raises:
        SourceError: its envs do not have several agents.
        SpaceMismatchError: the agents' spaces differ.
    """

    def __init__(self, envs: ListedEnvs, autoreset_mode: str | AutoresetMode) -> None:
        agents = Agents.of(envs)
        if agents is None:
            raise SourceError(f"{envs} is not a vector env of parallel envs.")
        self._elsewhere, self._split = envs, agents
        self._restarted: set[int] = set()  # envs that say so in this step or reset
        self._lost: set[int] = set()  # those of them that ended in it
        make = [lambda: _Env(envs, agents)] * envs.num_envs
        super().__init__(make, autoreset_mode)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """An attribute of each env, called if it is callable; the same for all of its rows."""
        return self._for_rows(self._elsewhere.call(name, *args, **kwargs))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """The same, as `RingVectorEnv` has it."""
        return self._for_rows(self._elsewhere.get_attr(name))

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of each env; of a list or tuple, which has one per row, its first."""
        if isinstance(values, (list, tuple)):
            values = [values[first] for _, _, first in self._each()]
        self._elsewhere.set_attr(name, values)

    def render(self) -> tuple[Any, ...]:
        """What each env renders, for all of its rows."""
        return self._for_rows(self._elsewhere.render() or [])

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the envs, and ends their workers or sessions."""
        self._elsewhere.close(**kwargs)

    # -- how --------------------------------------------------------------------------------

    def _checked(self, env: Any) -> Any:
        return env  # an `_Env`, which has no `step`: `_step_envs` steps all of them together

    def _for_rows(self, values: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(each for each in values for _ in self._split.names)

    def _step_envs(self, acting: Mapping[int, Mapping[Any, Any]]) -> Iterator[tuple[int, Any]]:
        if not acting:
            return
        joined = [self._split.join(actions) for actions in acting.values()]
        result = self._elsewhere.step_some(joined, list(acting))
        for n, told in self._told(acting, result[0], result[-1]):
            yield n, self._lose(n) if n in self._restarted else told[:-1]

    def _reset_envs(self, seeds: Mapping[int, Any], options: Any) -> Iterator[tuple[int, Any]]:
        result = self._elsewhere.reset_some(list(seeds), list(seeds.values()), options)
        for n, told in self._told(seeds, *result):
            self._lost.discard(n)
            yield n, (told.observations, told.infos)

    def _lose(self, n: int) -> tuple[Any, ...]:
        """What a step returns of an env whose episode was lost: an end for each row."""
        self._lost.add(n)
        self.envs[n].agents = []
        names, first = self._split.names, self._firsts[n]
        last = dict(zip(names, self._rows[first : first + len(names)], strict=True))
        return last, {}, {}, dict.fromkeys(names, True), {}

    def _told(
        self, numbers: Iterable[int], observations: Any, infos: Any
    ) -> Iterator[tuple[int, Told]]:
        """What each env told, in the order of their numbers."""
        rows = iterate(self._elsewhere.observation_space, observations)
        for n, row, info in zip(sorted(numbers), rows, infos, strict=True):
            told = self._split.split(row, info)
            self.envs[n].agents = told.living
            if RESTARTED in info:
                self._restarted.add(n)
            yield n, told

    def _masked(self, infos: dict[str, Any]) -> dict[str, Any]:
        if self._restarted:
            env_of_row = np.arange(self.num_envs) // len(self._split.names)
            self._present[np.isin(env_of_row, list(self._lost))] = False
            told = np.isin(env_of_row, list(self._restarted))
            infos[RESTARTED], infos["_" + RESTARTED] = told, told.copy()
            self._lost, self._restarted = set(), set()
        return super()._masked(infos)
