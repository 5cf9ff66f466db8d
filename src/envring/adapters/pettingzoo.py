# SPDX-License-Identifier: MIT
"""PettingZoo's parallel envs: one in a process of its own, anywhere; several as a vector env."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.vector import AutoresetMode, VectorEnv
from pettingzoo import ParallelEnv

from envring._foreign.envring_worker.envs.adapt import adapt
from envring._foreign.envring_worker.envs.agents import Agents, AgentsEnv, Told
from envring._foreign.envring_worker.lost import RESTARTED
from envring.adapters.agent_rows import AgentVectorEnv
from envring.adapters.agents_elsewhere import AgentsElsewhere
from envring.adapters.listed import ListedEnvs
from envring.api.single import RingEnv
from envring.api.vector import RingVectorEnv
from envring.cpus import usable_cpus
from envring.errors import SourceError
from envring.launchers.sources import EnvSource

# each env as one env of several agents, which is reset when that is asked for
_STEPPED = {"autoreset_mode": AutoresetMode.DISABLED}


class _Envs(ListedEnvs):
    _name = AgentVectorEnv.__name__


class RingParallelEnv(ParallelEnv):  # type: ignore[misc]
    """A parallel env in a process of its own.

    Agents appear in the order of `possible_agents` everywhere, so also in `agents`.

    With `on_worker_death="restart"` the step in which a death is noticed ends the episode: all
    agents that lived get their last observations, rewards of 0.0, truncations, and infos with
    "worker_restarted": True. Where a reset notices it, or replaces the process as planned
    (`restart_every`), that is in the infos of the agents that live then.

    Args:
        env: a `RingEnv` of an env with several agents; it is closed with this one.

    Attributes:
        agents: those that live.
        possible_agents: all that there can be.
        env: the `RingEnv`.

    Raises:
        SourceError: its env does not have several agents.
    """

    def __init__(self, env: RingEnv) -> None:
        """Takes the env over."""
        agents = Agents.of(env)
        if agents is None:
            raise SourceError(f"{env} is not an env of several agents.")
        self.env = env
        self.metadata = dict(env.metadata)
        self.render_mode = env.render_mode
        self.possible_agents = list(agents.names)
        self.observation_spaces: dict[Any, Space[Any]] = dict(agents.observation_spaces)
        self.action_spaces: dict[Any, Space[Any]] = dict(agents.action_spaces)
        self.agents: list[Any] = []
        self._agents = agents

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[Any, Any], dict[Any, dict[str, Any]]]:
        """Resets the env; returns observations and infos by agent."""
        observation, info = self.env.reset(seed=seed, options=options)
        told = self._agents.split(observation, info)
        self.agents = told.living
        if RESTARTED in info:
            for agent in told.living:
                told.infos.setdefault(agent, {})[RESTARTED] = True
        return told.observations, told.infos

    def step(
        self, actions: Mapping[Any, Any]
    ) -> tuple[
        dict[Any, Any],
        dict[Any, float],
        dict[Any, bool],
        dict[Any, bool],
        dict[Any, dict[str, Any]],
    ]:
        """Steps the agents that `actions` names; see `pettingzoo.ParallelEnv.step`.

        Raises:
            ValueError: there is no such agent.
        """
        observation, _, _, _, info = self.env.step(self._agents.join(actions))
        told = self._agents.split(observation, info)
        if RESTARTED in info:
            told = self._cut(told)
        self.agents = told.living
        return told.observations, told.rewards, told.terminations, told.truncations, told.infos

    def observation_space(self, agent: Any) -> Space[Any]:
        """The space of an agent's observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: Any) -> Space[Any]:
        """The space of an agent's actions."""
        return self.action_spaces[agent]

    def render(self) -> Any:
        """What the env renders."""
        return self.env.render()

    def state(self) -> Any:
        """The env's state, as a whole."""
        return self.env.call("state")

    def close(self) -> None:
        """Closes the env and ends its process."""
        self.env.close()

    def _cut(self, last: Told) -> Told:
        """The end of an episode that was lost, of which this was told last."""
        lived = self.agents
        return Told(
            {agent: last.observations[agent] for agent in lived if agent in last.observations},
            dict.fromkeys(lived, 0.0),
            dict.fromkeys(lived, False),
            dict.fromkeys(lived, True),
            {agent: {RESTARTED: True} for agent in lived},
            [],
        )


def parallel_env(
    env: str | EnvSource | Callable[..., Any],
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> RingParallelEnv:
    """Makes a parallel env in a process of its own.

    Args:
        env: "package.module:parallel_env", "file.py:function", an `EnvSource`, or a function. On
            a host: what the host serves.
        kwargs: arguments of the function.
        **options: those of `RingEnv`: launcher, remotes, step_timeout, ...

    Raises:
        SourceError: there is no such env, or it is not parallel.
        EnvringError: it could not be built; see `RingEnv`.

    Example:
        env = parallel_env("pettingzoo.butterfly.pistonball_v6:parallel_env")
    """
    ring = RingEnv(_source(env, kwargs, options), **options)
    try:
        return RingParallelEnv(ring)
    except BaseException:
        ring.close()
        raise


def agents_vec(
    env: str | Callable[..., Any],
    num_envs: int = 1,
    kwargs: Mapping[str, Any] | None = None,
    *,
    autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    **options: Any,
) -> VectorEnv[Any, Any, Any]:
    """Makes several parallel envs over workers: one vector env with a row for each agent.

    All agents have the same spaces. Rows are those of the first env's agents in the order of
    `possible_agents`, then those of the second's, and so on. `infos["living"]` and
    `infos["present"]` are masks of rows: see `AgentVectorEnv`. Here each worker has one, and they
    are a `RingVectorEnv`, of which `send`, `recv` and `indices=` name all of a worker's envs or
    none. Of envs elsewhere (`launcher=`, `remotes=`, an `EnvSource`) rows are made in this process.

    Args:
        env: a function, "package.module:parallel_env" or an `EnvSource`. On a host: what it serves.
        num_envs: number of parallel envs.
        kwargs: arguments of the function.
        autoreset_mode: when an env is reset after its last agent has ended.
        **options: those of `RingVectorEnv`: num_workers, step_timeout, ...

    Raises:
        SourceError: it is not a parallel env.
        SpaceMismatchError: the agents' spaces differ.
        Exception: what RingVectorEnv raises.

    Example:
        envs = agents_vec("pettingzoo.butterfly.pistonball_v6:parallel_env", num_envs=4)
    """
    if isinstance(env, EnvSource) or options.get("launcher") or options.get("remotes"):
        envs = _Envs([_source(env, kwargs, options)] * num_envs, **_STEPPED, **options)
        try:
            return AgentsElsewhere(envs, autoreset_mode)
        except BaseException:
            envs.close()
            raise
    make = partial(_call, env, dict(kwargs or {}))
    workers = options.get("num_workers")
    groups = usable_cpus() if workers is None else workers + bool(options.get("caller_steps"))
    shares = np.array_split(range(num_envs), max(min(groups, num_envs), 1))
    fns: Any = [partial(AgentVectorEnv, [make] * len(share), autoreset_mode) for share in shares]
    return RingVectorEnv(fns, autoreset_mode=autoreset_mode, **options)


def _source(env: Any, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any]) -> Any:
    """What `RingEnv` makes the env of."""
    if isinstance(env, EnvSource):
        if kwargs:
            raise SourceError("An EnvSource takes its own kwargs.")
        return env
    if not isinstance(env, str):
        return partial(_build, env, dict(kwargs or {}))
    if isinstance(options.get("remotes"), str):
        return EnvSource.elsewhere(env, (), kwargs)
    return EnvSource(env, kwargs=kwargs or {})


def _call(env: str | Callable[..., Any], kwargs: Mapping[str, Any]) -> Any:
    make = pkgutil.resolve_name(env) if isinstance(env, str) else env
    return make(**kwargs)


def _build(make: Callable[..., Any], kwargs: Mapping[str, Any]) -> Any:
    return adapt(AgentsEnv(make(**kwargs)))
