# SPDX-License-Identifier: MIT
"""Envs of several agents, with PettingZoo's parallel interface but without its package."""

from __future__ import absolute_import, division, print_function

import numpy as np

try:
    from gymnasium import spaces
except ImportError:
    from gym import spaces

NAMES = ["red", "blue", "green", "amber"]  # not in the order of the alphabet


class Battle(object):
    """Agents of all kinds of spaces die, are taken out, and come back, by a seeded generator."""

    metadata = {"name": "battle_v0", "render_modes": ["ansi"]}
    render_mode = None
    possible_agents = NAMES

    def __init__(self, length=40):
        self.length = length
        self.agents = []
        self.random = np.random.RandomState(0)

    def observation_space(self, agent):
        return {
            "red": spaces.Box(-np.inf, np.inf, (3,), np.float32),
            "blue": spaces.Discrete(5),
            "green": spaces.Dict(
                {"b": spaces.Box(-9, 9, (2, 2), np.int8), "a": spaces.MultiBinary(3)}
            ),
            "amber": spaces.Tuple([spaces.Box(0, 1, (), np.float64), spaces.Discrete(2)]),
        }[agent]

    def action_space(self, agent):
        return {
            "red": spaces.Discrete(7),
            "blue": spaces.Box(-1, 1, (2,), np.float32),
            "green": spaces.MultiDiscrete([3, 4]),
            "amber": spaces.Dict({"x": spaces.Discrete(2), "y": spaces.Box(0, 1, (1,))}),
        }[agent]

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.random = np.random.RandomState(seed)
        self.t = 0
        self.agents = list(NAMES[: 2 + self.random.randint(3)])
        infos = dict((name, {}) for name in self.agents)
        if options:
            infos[self.agents[0]] = {"options": options}
        return self._seen(), infos

    def step(self, actions):
        self.t += 1
        rewards = dict(
            (name, self.t + _total(actions[name]) if name in actions else -1.0)
            for name in self.agents
        )
        ends = self.random.rand(len(self.agents), 2) < (0.12, 0.04)
        terminations = dict((name, bool(end[0])) for name, end in zip(self.agents, ends))
        truncations = dict(
            (name, bool(end[1]) or self.t >= self.length) for name, end in zip(self.agents, ends)
        )
        observations = self._seen()
        infos = dict((name, self._info()) for name in self.agents)
        gone = [name for name in NAMES if name not in self.agents]
        self.agents = [
            name for name in self.agents if not (terminations[name] or truncations[name])
        ]
        if self.agents and gone and self.random.rand() < 0.2:
            self.agents.append(gone[self.random.randint(len(gone))])
        return observations, rewards, terminations, truncations, infos

    def _seen(self):
        random = self.random
        values = {
            "red": random.randn(3).astype(np.float32),
            "blue": int(random.randint(5)),
            "green": {
                "a": random.randint(0, 2, 3).astype(np.int8),
                "b": random.randint(-9, 10, (2, 2)).astype(np.int8),
            },
            "amber": (np.array(random.rand()), int(random.randint(2))),
        }
        return dict((name, values[name]) for name in self.agents)

    def _info(self):
        if self.random.rand() < 0.7:
            return {}
        return {"health": float(self.random.rand()), "seen": ["a", self.t], "deep": {"t": self.t}}

    def render(self):
        return "at %d" % self.t

    def state(self):
        return np.full(2, self.t, np.float32)

    def close(self):
        pass


class Crowd(Battle):
    """The same with agents of one kind."""

    metadata = {"name": "crowd_v0"}

    def observation_space(self, agent):
        return spaces.Dict(
            {"seen": spaces.Box(-np.inf, np.inf, (3,), np.float32), "n": spaces.Discrete(100)}
        )

    def action_space(self, agent):
        return spaces.Box(-1, 1, (2,), np.float32)

    def _seen(self):
        random = self.random
        return dict(
            (name, {"seen": random.randn(3).astype(np.float32), "n": int(random.randint(1, 100))})
            for name in self.agents
        )

    def _info(self):
        if self.random.rand() < 0.7:
            return {}
        return {"health": float(self.random.rand()), "deep": {"t": self.t}}


def _total(action):
    if isinstance(action, dict):
        return sum(_total(each) for each in action.values())
    return float(np.sum(np.asarray(action, np.float64)))


class Turns(object):
    """Agents take turns, as in PettingZoo's other interface."""

    possible_agents = NAMES

    def observation_space(self, agent):
        return spaces.Discrete(2)

    action_space = observation_space

    def agent_iter(self):
        return iter(())

    def reset(self, seed=None, options=None):
        pass

    def step(self, action):
        pass
