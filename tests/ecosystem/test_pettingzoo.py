# SPDX-License-Identifier: MIT
"""Agents as rows, beside SuperSuit's vector envs of agents, and PettingZoo's own test."""

import warnings

import numpy as np
import pytest
import supersuit
from gymnasium import spaces
from pettingzoo import ParallelEnv

from ecosystem.same import difference
from envring.adapters.pettingzoo import agents_vec, parallel_env

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own envs
    from pettingzoo.test import parallel_api_test

pytestmark = pytest.mark.filterwarnings("ignore")  # of SuperSuit


class Team(ParallelEnv):
    """All agents live until the end: SuperSuit wants it so."""

    metadata = {"name": "team_v0"}  # noqa: RUF012
    render_mode = None
    possible_agents = ["a", "b", "c"]  # noqa: RUF012

    def observation_space(self, agent):
        return spaces.Box(-1, 1, (4,), np.float32)

    def action_space(self, agent):
        return spaces.Discrete(5)

    def reset(self, seed=None, options=None):
        if seed is not None or not hasattr(self, "random"):
            self.random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.length = int(self.random.integers(2, 9))
        return self._see(), {name: {} for name in self.agents}

    def step(self, actions):
        self.length -= 1
        told = self._see()
        rewards = {name: float(actions[name]) for name in self.agents}
        over = dict.fromkeys(self.agents, self.length == 0)
        cut = dict.fromkeys(self.agents, False)
        infos = {name: {} for name in self.agents}
        if self.length == 0:
            self.agents = []
        return told, rewards, over, cut, infos

    def _see(self):
        return {name: self.random.uniform(-1, 1, 4).astype(np.float32) for name in self.agents}


def test_rows_are_those_of_supersuit():
    theirs = supersuit.pettingzoo_env_to_vec_env_v1(Team())
    ours = agents_vec(Team, autoreset_mode="SameStep", num_workers=1)
    assert ours.num_envs == theirs.num_envs == 3
    assert difference(ours.reset(seed=4)[0], theirs.reset(seed=4)[0]) == ""
    rng, ends = np.random.default_rng(0), 0
    for _ in range(100):
        actions = rng.integers(0, 5, 3)
        seen, rewards, over, cut, infos = ours.step(actions)
        wanted = theirs.step(actions)
        assert difference(seen, wanted[0]) == ""
        assert rewards.tolist() == wanted[1].tolist()
        assert over.tolist() == wanted[2].astype(bool).tolist()
        assert not cut.any() and infos["living"].all() and infos["present"].all()
        for row in np.flatnonzero(over):
            last = wanted[4][row]["terminal_observation"]
            assert difference(infos["final_obs"][row], last) == ""
        ends += int(over[0])
    ours.close()
    assert ends > 10


def test_pettingzoos_own_test():
    env = parallel_env(Team)
    parallel_api_test(env, num_cycles=200)
    env.close()
