# SPDX-License-Identifier: MIT
"""Parallel envs of PettingZoo, against the same env stepped directly."""

from pathlib import Path

import pytest

import envring
from envring import EnvSource, SourceError
from support import foreign_prefixes
from support.hosts import running
from support.plain_agents import NAMES, Battle
from support.same_agents import same

pytest.importorskip("pettingzoo", reason="envs of several agents stay unchecked")

from envring.adapters.pettingzoo import parallel_env

FILE = str(Path(__file__).parents[1] / "support" / "plain_agents.py")
BATTLE = f"{FILE}:Battle"


def run(env, episodes, steps=60):
    """Steps an env beside one that is stepped directly; the number of steps."""
    direct, count = Battle(), 0
    for seed in range(episodes):
        assert same(env.reset(seed=seed), direct.reset(seed=seed)), seed
        spaces = {name: direct.action_space(name) for name in NAMES}
        for number, space in enumerate(spaces.values()):
            space.seed(seed * 4 + number)
        for t in range(steps):
            assert env.agents == [name for name in NAMES if name in direct.agents]
            if not env.agents:
                break
            # now and then an agent says nothing
            acting = [name for n, name in enumerate(env.agents) if (seed + t + n) % 9]
            actions = {name: spaces[name].sample() for name in acting}
            ours, theirs = env.step(actions), direct.step(actions)
            assert same(ours, theirs), (seed, t)
            count += 1
    return count


def test_episodes_are_those_of_the_env():
    env = parallel_env(BATTLE)
    try:
        assert env.possible_agents == NAMES
        assert env.max_num_agents == 4
        for name in NAMES:
            assert env.observation_space(name) == Battle().observation_space(name)
            assert env.action_space(name) == Battle().action_space(name)
        assert run(env, 40) > 200
        assert env.metadata["name"] == "battle_v0"
        env.reset(seed=1, options={"a": [1]})
        assert env.state().tolist() == [0, 0]
        assert env.reset(options={"a": 1})[1]["red"] == {"options": {"a": 1}}
    finally:
        env.close()


@pytest.mark.long
def test_500_episodes():
    env = parallel_env(Battle)
    try:
        assert run(env, 500) > 3000
    finally:
        env.close()


def test_arguments_and_functions():
    env = parallel_env(Battle, {"length": 3})
    try:
        env.reset(seed=0)
        for _ in range(3):
            _, _, _, cuts, _ = env.step({})
        assert all(cuts.values()) and env.agents == []
    finally:
        env.close()


def test_on_a_host():
    with running(BATTLE) as host:
        env = parallel_env(BATTLE, remotes=host.url)
        try:
            assert run(env, 20) > 100
        finally:
            env.close()


@pytest.mark.wide
@pytest.mark.parametrize("name", ["gymnasium-1.0", "gymnasium-0.29", "gym-0.26"])
def test_in_another_interpreter(name):
    if not foreign_prefixes.interpreter(foreign_prefixes.RECIPES[name].version):
        pytest.skip(f"there is no interpreter for {name}")
    env = parallel_env(BATTLE, launcher=f"prefix:{foreign_prefixes.build(name)}")
    try:
        assert run(env, 20) > 100
    finally:
        env.close()


def test_several_as_a_vector_env():
    """Each env's agents are one row: what a plain vector env has of them."""
    envs = envring.RingVectorEnv([EnvSource(BATTLE)] * 2)
    try:
        obs, _ = envs.reset(seed=[3, 4])
        for row, seed in enumerate((3, 4)):
            direct = Battle()
            direct.reset(seed=seed)
            living = [name in direct.agents for name in NAMES]
            assert obs["living"][row].astype(bool).tolist() == living
    finally:
        envs.close()


def test_what_is_not_parallel():
    with pytest.raises(SourceError, match="aec_to_parallel"):
        parallel_env(f"{FILE}:Turns")
    with pytest.raises(SourceError, match="not an env of several agents"):
        parallel_env("gymnasium.envs.classic_control:CartPoleEnv")
    with pytest.raises(SourceError, match="its own kwargs"):
        parallel_env(EnvSource(BATTLE), {"length": 3})


def test_an_agent_that_is_not_possible():
    env = parallel_env(BATTLE)
    try:
        env.reset()
        with pytest.raises(ValueError, match="no agent 'pink'"):
            env.step({"pink": 0})
    finally:
        env.close()
