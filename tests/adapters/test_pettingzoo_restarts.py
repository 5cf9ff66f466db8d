# SPDX-License-Identifier: MIT
"""Restarts of one parallel env: an end of all agents that lived, as PettingZoo has it."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from envring.pool.seeds import fresh_seed
from support.hosts import running
from support.plain_agents import NAMES, Battle
from support.proxy import Proxy
from support.restarts import kill
from support.same_agents import same

pytest.importorskip("pettingzoo", reason="envs of several agents stay unchecked")

from envring.adapters.pettingzoo import parallel_env

BATTLE = f"{Path(__file__).parents[1] / 'support' / 'plain_agents.py'}:Battle"
RESTARTED = {"worker_restarted": True}


@contextlib.contextmanager
def battle(place, **options):
    """(a Battle that is stepped there, what kills its process or connection)."""
    options.setdefault("on_worker_death", "restart")
    with contextlib.ExitStack() as stack:
        proxy = None
        if place == "host":
            host = stack.enter_context(running(BATTLE, "--grace", "0.3"))
            proxy = Proxy(host.url)
            stack.callback(proxy.close)
            # a forked worker would hold the ends of connections that are cut here
            options |= {"remotes": proxy.url, "context": "forkserver"}
        if place == "interpreter":
            options["launcher"] = f"prefix:{sys.prefix}"
        env = parallel_env(Battle if place == "worker" else BATTLE, **options)
        stack.callback(env.close)

        def die():
            if proxy is None:
                kill(env.env._batcher.pool.processes[0].pid)
            else:
                proxy.cut_after(0)

        yield env, die


def actions_of(env):
    return {name: env.action_space(name).sample() for name in env.agents}


@pytest.mark.parametrize(
    "place", ["worker", "interpreter", pytest.param("host", marks=pytest.mark.wide)]
)
def test_a_death_truncates_all_that_lived(place):
    with battle(place) as (env, die):
        for seed in (1, 2):
            last, _ = env.reset(seed=seed)
            for _ in range(60):  # until an agent is gone, but not all
                if 0 < len(env.agents) < len(last):
                    break
                if not env.agents:
                    last, _ = env.reset()
                last = env.step(actions_of(env))[0]
            living = list(env.agents)
            assert 0 < len(living) < len(last)
            die()
            seen, rewards, over, cut, infos = env.step(actions_of(env))
            assert same(seen, {name: last[name] for name in living})
            assert rewards == dict.fromkeys(living, 0.0)
            assert over == dict.fromkeys(living, False)
            assert cut == dict.fromkeys(living, True)
            assert infos == dict.fromkeys(living, RESTARTED)
            assert env.agents == []
            direct = Battle()
            expected = direct.reset(seed=fresh_seed(seed, 1))
            assert same(env.reset(), expected)
            actions = actions_of(env)
            assert same(env.step(actions), direct.step(actions))


def test_infos_of_each_agent_are_its_own():
    with battle("worker") as (env, die):
        env.reset(seed=0)
        die()
        infos = env.step(actions_of(env))[4]
        infos[env.possible_agents[0]]["mine"] = 1
        assert infos[env.possible_agents[1]] == RESTARTED


def test_a_death_after_the_end_and_in_a_reset():
    with battle("worker") as (env, die):
        env.reset(seed=0)
        while env.agents:
            env.step(actions_of(env))
        die()
        direct = Battle()
        seen, infos = env.reset(seed=5)
        assert same(seen, direct.reset(seed=5)[0])
        assert env.agents == [name for name in NAMES if name in direct.agents]
        assert infos == dict.fromkeys(env.agents, RESTARTED)
        infos = env.reset(seed=6, options={"a": 1})[1]
        assert infos["red"] == {"options": {"a": 1}}
        die()
        infos = env.reset(seed=6, options={"a": 1})[1]
        assert infos["red"] == {"options": {"a": 1}} | RESTARTED


def test_a_hang_is_a_death():
    with battle("worker", step_timeout=2.0) as (env, _):
        last, _ = env.reset(seed=0)
        os.kill(env.env._batcher.pool.processes[0].pid, signal.SIGSTOP)
        seen, _, _, cut, infos = env.step(actions_of(env))
        assert same(seen, last) and all(cut.values())
        assert infos == dict.fromkeys(last, RESTARTED)


@pytest.mark.parametrize("place", ["worker", pytest.param("interpreter", marks=pytest.mark.wide)])
def test_replaced_between_episodes(place):
    options = {"on_worker_death": "raise", "restart_every": {"episodes": 2}}
    with battle(place, **options) as (env, _):
        told = []
        for seed in range(7):
            direct = Battle()
            seen, infos = env.reset(seed=seed)
            assert same(seen, direct.reset(seed=seed)[0])
            told.append([info.get("worker_restarted", False) for info in infos.values()])
            while env.agents:
                actions = actions_of(env)
                results, expected = env.step(actions), direct.step(actions)
                assert same(results, expected)
        assert [all(each) for each in told] == [any(each) for each in told]
        assert [any(each) for each in told] == [False, False, True, False, True, False, True]
