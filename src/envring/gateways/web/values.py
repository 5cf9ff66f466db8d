# SPDX-License-Identifier: MIT
"""What Remote Gymnasium's clients send and get: of one env, a vector env, or several agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

from envring._foreign.envring_worker.envs.agents import Agents
from envring.api.single import RingEnv
from envring.api.vector import RingVectorEnv
from envring.gateways.web import json_text, spaces
from envring.gateways.web.space_descriptions import described

_ARRAYS = (Box, Discrete, MultiBinary, MultiDiscrete)


class View(Protocol):
    """An env as callers of this wire see it; raises `BadValue` and `NotCarried`."""

    def action_space(self) -> dict[str, Any]:
        """Describes it."""

    def observation_space(self) -> dict[str, Any]:
        """Describes it."""

    def action(self, data: Any) -> Any:
        """An action for the env."""

    def first(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        """What a reset is answered with."""

    def after(self, observation: Any, *others: Any) -> dict[str, Any]:
        """What a step is answered with."""


def view_of(env: RingEnv | RingVectorEnv[Any, Any]) -> View:
    """How callers see an env.

    Raises:
        NotCarried: the wire cannot carry its values.
    """
    agents = Agents.of(env)
    if isinstance(env, RingVectorEnv):
        if agents is not None:
            raise spaces.NotCarried("Envs of several agents are served one by one: use /make.")
        return _Vector(env)
    return _Single(env) if agents is None else _Several(agents)


class _Single:
    """One env."""

    def __init__(self, env: RingEnv) -> None:
        self._observation_space, self._action_space = env.observation_space, env.action_space
        spaces.check(env.observation_space)
        spaces.check(env.action_space)

    def action_space(self) -> dict[str, Any]:
        return described(self._action_space)

    def observation_space(self) -> dict[str, Any]:
        return described(self._observation_space)

    def action(self, data: Any) -> Any:
        return spaces.decode(self._action_space, data)

    def first(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        seen = spaces.encode(self._observation_space, observation)
        return {"observation": seen, "info": json_text.plain(info)}

    def after(
        self, observation: Any, reward: Any, terminated: Any, truncated: Any, info: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "observation": spaces.encode(self._observation_space, observation),
            "reward": float(reward),
            "terminated": bool(terminated),
            "truncated": bool(truncated),
            "info": json_text.plain(info),
        }


class _Vector:
    """A vector env: lists with an item for each env."""

    def __init__(self, env: RingVectorEnv[Any, Any]) -> None:
        self._num_envs = env.num_envs
        self._observation_space, self._action_space = env.observation_space, env.action_space
        self._single_observation_space = env.single_observation_space
        self._single_action_space = env.single_action_space
        spaces.check(env.single_observation_space)
        spaces.check(env.single_action_space)

    def action_space(self) -> dict[str, Any]:
        return described(self._action_space)

    def observation_space(self) -> dict[str, Any]:
        return described(self._observation_space)

    def action(self, data: Any) -> Any:
        if not isinstance(data, list) or len(data) != self._num_envs:
            raise spaces.BadValue(f"expected a list of {self._num_envs} actions")
        space = self._single_action_space
        items = [spaces.decode(space, each, (n,)) for n, each in enumerate(data)]
        rows: Any = create_empty_array(space, self._num_envs)
        return concatenate(space, items, rows)

    def first(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        return {"observation": self._seen(observation), "info": self._info(info)}

    def after(
        self,
        observation: Any,
        rewards: Any,
        terminations: Any,
        truncations: Any,
        info: dict[str, Any],
    ) -> dict[str, Any]:
        return {
            "observation": self._seen(observation),
            "reward": rewards.tolist(),
            "terminated": terminations.tolist(),
            "truncated": truncations.tolist(),
            "info": self._info(info),
        }

    def _seen(self, observation: Any) -> Any:
        space = self._single_observation_space
        if isinstance(space, _ARRAYS):
            return json_text.array(observation)
        items = iterate(self._observation_space, observation)
        return [spaces.encode(space, each) for each in items]

    def _info(self, info: Mapping[str, Any]) -> Any:
        """An info; what was seen last has both the name of Gymnasium 1.x and that before 1.0."""
        found = json_text.plain({key: each for key, each in info.items() if key != "final_obs"})
        if "final_obs" in info:
            space = self._single_observation_space
            last = [
                None if each is None else spaces.encode(space, each) for each in info["final_obs"]
            ]
            found |= {"final_obs": last, "final_observation": last}
            found["_final_observation"] = found.get("_final_obs")
        return found


class _Several:
    """Agents, each at the place that it has among all; what an agent does not have is None."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        for space in (*agents.observation_spaces.values(), *agents.action_spaces.values()):
            spaces.check(space)

    def action_space(self) -> dict[str, Any]:
        return described(Tuple(list(self._agents.action_spaces.values())))

    def observation_space(self) -> dict[str, Any]:
        return described(Tuple(list(self._agents.observation_spaces.values())))

    def action(self, data: Any) -> Any:
        names = self._agents.names
        if not isinstance(data, list) or len(data) != len(names):
            raise spaces.BadValue(f"expected a list of {len(names)} actions, null for no action")
        chosen = {
            name: spaces.decode(self._agents.action_spaces[name], each, (n,))
            for n, (name, each) in enumerate(zip(names, data, strict=True))
            if each is not None
        }
        return self._agents.join(chosen)

    def first(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        found = self._listed(observation, info)
        return {key: found[key] for key in ("observation", "info")}

    def after(self, observation: Any, *others: Any) -> dict[str, Any]:
        return self._listed(observation, others[-1])

    def _listed(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        told = self._agents.split(observation, info)
        seen = {
            name: spaces.encode(self._agents.observation_spaces[name], each)
            for name, each in told.observations.items()
        }
        infos = {name: json_text.plain(each) for name, each in told.infos.items()}
        return {
            "observation": self._by_place(seen),
            "reward": self._by_place(told.rewards),
            "terminated": self._by_place(told.terminations),
            "truncated": self._by_place(told.truncations),
            "info": {"agents": list(told.living), "infos": self._by_place(infos)},
        }

    def _by_place(self, found: Mapping[Any, Any]) -> list[Any]:
        return [found.get(name) for name in self._agents.names]
