# SPDX-License-Identifier: MIT
"""Envs of several agents, with PettingZoo's parallel interface, as envs of one.

Every agent has a place: its index among the env's `possible_agents`. What an agent does not have
in a step is filled with a value of its space that means nothing.

===========  ======================================================================================
observation  Dict: `agents`, a Dict with each agent's observation; `present` MultiBinary (n, 5):
             whether the agent has an observation, a reward, a termination, a truncation, an info;
             `living` MultiBinary (n,): `env.agents`; `rewards` Box (n,) float64; `terminations`
             and `truncations` MultiBinary (n,)
action       Dict: `agents`, a Dict with each agent's action; `acting` MultiBinary (n,): whether it
             has one
reward       the sum of the agents' rewards
terminated   no agent lives, and none of the last ones was truncated
truncated    no agent lives, and some of the last ones were truncated
info         `{"agents": {agent: info}}` of those whose info has something in it
===========  ======================================================================================
"""

from __future__ import absolute_import, division, print_function

import collections
import copy

import numpy as np

from ..errors import SourceError

KEY = "agents"  #: in an env's metadata: the names of its agents
PARTS = ("observations", "rewards", "terminations", "truncations", "infos")

# what a step tells: a dict by agent for each part, and the agents that live on
Told = collections.namedtuple("Told", PARTS + ("living",))


def is_parallel(env):
    """Returns whether an env has PettingZoo's parallel interface.

    Raises:
        SourceError: it has PettingZoo's other interface, in which agents take turns.
    """
    # looked up in the class: where a property computes the space, it may raise what `_check` tells
    if not callable(getattr(type(env), "observation_space", None)):
        return False
    if callable(getattr(env, "agent_iter", None)):
        raise SourceError(
            "env",
            "%s has agents that take turns. Return pettingzoo.utils.aec_to_parallel(env) instead"
            % type(env).__name__,
        )
    return hasattr(env, "possible_agents") and hasattr(env, "step")


class Agents(object):
    """Splits values of all agents into those of each, and joins them again.

    Attributes:
        names: the agents, each at its place.
        observation_spaces: by name.
        action_spaces: by name.
    """

    def __init__(self, observation_space, action_space):
        self.observation_spaces = observation_space.spaces["agents"].spaces
        self.action_spaces = action_space.spaces["agents"].spaces
        self.names = list(self.action_spaces)
        self._idle = dict((name, filler(space)) for name, space in self.action_spaces.items())

    @classmethod
    def of(cls, env):
        """Returns the agents of an env or vector env, None if it is not about several."""
        if KEY not in (env.metadata or {}):
            return None
        single = getattr(env, "single_observation_space", env.observation_space)
        return cls(single, getattr(env, "single_action_space", env.action_space))

    def join(self, actions):
        """Returns the action of all from a dict by agent.

        Raises:
            ValueError: there is no such agent.
        """
        for name in actions:
            if name not in self.action_spaces:
                raise ValueError("there is no agent %r" % (name,))
        acting = np.array([name in actions for name in self.names], np.int8)
        joined = collections.OrderedDict(
            (name, actions.get(name, self._idle[name])) for name in self.names
        )
        return {"agents": joined, "acting": acting}

    def split(self, observation, info):
        """Returns what a reset or a step tells of each agent."""
        present = np.asarray(observation["present"], bool).T.tolist()
        columns = [
            observation["agents"],
            dict(zip(self.names, np.asarray(observation["rewards"]).tolist())),
            dict(zip(self.names, np.asarray(observation["terminations"], bool).tolist())),
            dict(zip(self.names, np.asarray(observation["truncations"], bool).tolist())),
            info.get("agents", {}),
        ]
        told = []
        for column, there in zip(columns, present):
            names = [name for name, is_there in zip(self.names, there) if is_there]
            told.append(dict((name, column.get(name, {})) for name in names))
        living = np.asarray(observation["living"], bool).tolist()
        told.append([name for name, lives in zip(self.names, living) if lives])
        return Told(*told)


class AgentsEnv(object):
    """An env with PettingZoo's parallel interface as an env of one.

    Args:
        env: the env.

    Raises:
        SourceError: it does not say which agents there can be, or there is no library of spaces.
    """

    def __init__(self, env):
        self.env = env
        names = list(env.possible_agents)
        spaces, count = _library(), len(names)
        seen = [(name, env.observation_space(name)) for name in names]
        done = [(name, env.action_space(name)) for name in names]
        self.observation_space = spaces.Dict(
            [
                ("agents", spaces.Dict(seen)),
                ("present", spaces.MultiBinary([count, len(PARTS)])),
                ("living", spaces.MultiBinary(count)),
                ("rewards", spaces.Box(-np.inf, np.inf, (count,), np.float64)),
                ("terminations", spaces.MultiBinary(count)),
                ("truncations", spaces.MultiBinary(count)),
            ]
        )
        self.action_space = spaces.Dict(
            [("agents", spaces.Dict(done)), ("acting", spaces.MultiBinary(count))]
        )
        self._place = dict((name, place) for place, name in enumerate(names))
        self._names = names
        self._fillers = [(name, filler(space)) for name, space in seen]
        self.metadata = dict(getattr(env, "metadata", None) or {})
        self.metadata[KEY] = names

    def reset(self, seed=None, options=None):
        """Resets the env; returns (observation, info)."""
        result = self.env.reset(seed=seed, options=options)
        if isinstance(result, dict):  # PettingZoo before 1.23
            result = result, {}
        observations, infos = result
        return self._joined(observations, {}, {}, {}, infos)

    def step(self, action):
        """Steps the agents that act; returns (observation, reward, terminated, truncated, info)."""
        acting, actions = np.asarray(action["acting"]).tolist(), action["agents"]
        chosen = dict((name, actions[name]) for name, acts in zip(self._names, acting) if acts)
        told = self.env.step(chosen)
        observation, info = self._joined(*told)
        _, rewards, _, truncations, _ = told
        over = not self.env.agents
        cut = over and any(truncations.values())
        return observation, float(sum(rewards.values())), over and not cut, cut, info

    def render(self):
        """Returns what the env renders."""
        return self.env.render()

    def _joined(self, *told):
        count = len(self._names)
        present = np.zeros((count, len(PARTS)), np.int8)
        for part, values in enumerate(told):
            for name in values:
                present[self._at(name), part] = 1
        living = np.zeros(count, np.int8)
        for name in self.env.agents:
            living[self._at(name)] = 1
        observations, rewards, terminations, truncations, infos = told
        observation = {
            "agents": collections.OrderedDict(
                (name, observations.get(name, idle)) for name, idle in self._fillers
            ),
            "present": present,
            "living": living,
            "rewards": self._column(rewards, np.float64),
            "terminations": self._column(terminations, np.int8),
            "truncations": self._column(truncations, np.int8),
        }
        said = dict((name, info) for name, info in infos.items() if info)
        return observation, {"agents": said} if said else {}

    def _column(self, values, dtype):
        column = np.zeros(len(self._names), dtype)
        for name, value in values.items():
            column[self._at(name)] = value
        return column

    def _at(self, name):
        if name not in self._place:
            raise ValueError("the env has an agent %r, which is not in possible_agents" % (name,))
        return self._place[name]


def filler(space):
    """Returns a value of a space that means nothing, always the same."""
    space = copy.deepcopy(space)
    space.seed(0)
    return space.sample()


def _library():
    for name in ("gymnasium", "gym"):
        try:
            return __import__(name + ".spaces", fromlist=["Dict"])
        except ImportError:
            pass
    raise SourceError("import", "envs of several agents need gymnasium's spaces")
