# SPDX-License-Identifier: MIT
"""Restarts of envs whose agents are rows: elsewhere as in workers of this interpreter."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from envring import Python
from envring.pool.seeds import fresh_seed
from envring.testing import assert_same_batch
from support.hosts import running
from support.plain_agents import NAMES, Crowd
from support.proxy import Proxy
from support.restarts import kill

pytest.importorskip("pettingzoo", reason="envs of several agents stay unchecked")

from envring.adapters.agents_elsewhere import AgentsElsewhere
from envring.adapters.pettingzoo import agents_vec

FILE = Path(__file__).parents[1] / "support" / "plain_agents.py"
CROWD = f"{FILE}:Crowd"
MODES = ["NextStep", "SameStep", pytest.param("Disabled", marks=pytest.mark.wide)]
WORKER_RESTARTED = "worker_restarted"


@pytest.fixture
def made():
    with contextlib.ExitStack() as stack:

        def make(where, count=3, length=25, **options):
            env = "support.plain_agents:Crowd"
            if where == "interpreter":
                env, options["launcher"] = CROWD, Python(sys.executable)
            options.setdefault("on_worker_death", "restart")
            options.setdefault("num_workers", count)
            envs = agents_vec(env, count, {"length": length}, **options)
            stack.callback(envs.close)
            return envs

        yield make


def workers(envs):
    return (envs._elsewhere if isinstance(envs, AgentsElsewhere) else envs).processes


def plain(results):
    """Without the order of keys, and without the masks that come when not all workers tell."""
    infos = {key: results[-1][key] for key in sorted(results[-1])}
    infos.pop("_living", None)
    infos.pop("_present", None)
    if "final_obs" in infos:
        finals = [each or {"seen": np.zeros(3), "n": -1} for each in infos["final_obs"]]
        infos["final_obs"] = [(int(each["n"]), each["seen"].tobytes()) for each in finals]
    return (*results[:-1], infos)


def play(ours, local, steps, kill_some):
    """Steps both with the same actions, and compares; True in each row that was restarted."""
    mode = local.metadata["autoreset_mode"].value
    infos = local.reset(seed=3)[1]
    ours.reset(seed=3)
    local.action_space.seed(1)
    told = []
    for t in range(steps):
        kill_some(t, infos)
        over = ~infos["living"].reshape(-1, 4).any(1).repeat(4)
        if mode == "Disabled" and over.any():
            options = {"reset_mask": over}
            results, expected = ours.reset(options=options), local.reset(options=options)
            for key, values in results[0].items():
                assert values[over].tobytes() == expected[0][key][over].tobytes()
            for key in ("living", "present"):
                assert results[1][key][over].tolist() == expected[1][key][over].tolist()
        actions = local.action_space.sample()
        expected = local.step(actions)
        assert_same_batch(plain(ours.step(actions)), plain(expected))
        infos = expected[-1]
        told.append(infos.get(WORKER_RESTARTED, np.zeros(12, bool)))
    return np.array(told)


@pytest.mark.parametrize("mode", MODES)
def test_as_in_workers(mode, made):
    """One env in each worker: every value is the same, before, in and after the deaths."""
    ours, local = (made(where, autoreset_mode=mode) for where in ("interpreter", "workers"))
    deaths = []

    def kill_some(t, infos):
        if t % 8 == 5 and infos["living"][4:8].any():
            deaths.append(t)
            for envs in (ours, local):
                kill(workers(envs)[1].pid)

    told = play(ours, local, 24, kill_some)
    assert len(deaths) > 1
    assert told.sum(0).tolist() == [0] * 4 + [len(deaths)] * 4 + [0] * 4


def test_the_step_of_a_death(made):
    """Several envs in a worker: those that were over are reset, and do not end again."""
    envs = made("interpreter", 4, length=4, num_workers=2)
    seeds = np.arange(4) * 4
    observations, infos = envs.reset(seed=seeds.repeat(4).tolist())
    # until the first env of a worker is over and the second is not
    for _ in range(300):
        over = ~infos["living"].reshape(4, 4).any(1)
        if over[2] and not over[3]:
            break
        observations, *_, infos = envs.step(envs.action_space.sample())
    assert over[2] and not over[3]
    kill(workers(envs)[1].pid)
    seen, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
    rows = np.arange(16)
    assert infos[WORKER_RESTARTED].tolist() == (rows >= 8).tolist()
    assert not rewards[8:].any() and not terminations[8:].any()
    assert truncations[8:].tolist() == [False] * 4 + [True] * 4
    assert infos["living"][8:12].any() and not infos["living"][12:].any()
    for key, values in seen.items():
        assert values[12:].tobytes() == observations[key][12:].tobytes()
    direct = Crowd()
    expected, _ = direct.reset(seed=fresh_seed(8, 1))
    assert [n for n in seen["n"][8:12].tolist() if n] == [each["n"] for each in expected.values()]
    expected, _ = direct.reset(seed=fresh_seed(12, 1))
    seen, _, _, truncations, infos = envs.step(envs.action_space.sample())
    assert [n for n in seen["n"][12:].tolist() if n] == [each["n"] for each in expected.values()]
    assert not truncations[12:].any() and WORKER_RESTARTED not in infos


@pytest.mark.parametrize("where", ["interpreter", "workers"])
def test_a_reset_tells(where, made):
    envs = made(where)
    envs.reset(seed=1)
    kill(workers(envs)[2].pid)
    infos = envs.reset(seed=2)[1]
    assert infos[WORKER_RESTARTED].tolist() == [False] * 8 + [True] * 4
    assert infos["_" + WORKER_RESTARTED].tolist() == [False] * 8 + [True] * 4
    assert WORKER_RESTARTED not in envs.reset(seed=3)[1]


def test_a_hang_is_a_death(made):
    envs = made("interpreter", step_timeout=2.0)
    last, _ = envs.reset(seed=1)
    os.kill(workers(envs)[0].pid, signal.SIGSTOP)
    seen, rewards, _, truncations, infos = envs.step(envs.action_space.sample())
    for key, values in seen.items():
        assert values[:4].tobytes() == last[key][:4].tobytes()
    assert not rewards[:4].any() and truncations[:4].all()
    assert infos[WORKER_RESTARTED].tolist() == [True] * 4 + [False] * 8


@pytest.mark.wide
@pytest.mark.parametrize("mode", MODES)
def test_on_a_host(mode):
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(running(CROWD, "--grace", "0.3"))
        proxy = Proxy(host.url)
        stack.callback(proxy.close)
        options = {"remotes": proxy.url, "on_worker_death": "restart", "context": "forkserver"}
        envs = agents_vec(CROWD, 2, autoreset_mode=mode, **options)
        stack.callback(envs.close)
        envs.reset(seed=3)
        last = envs.step(envs.action_space.sample())[0]
        proxy.cut_after(0)
        seen, rewards, _, truncations, infos = envs.step(envs.action_space.sample())
        assert truncations.all() and not rewards.any()
        assert infos[WORKER_RESTARTED].all()
        if mode == "SameStep":
            kept = infos["final_obs"]
            assert [each["n"] for each in kept] == last["n"].tolist()
            assert infos["living"].any()
            return
        assert_same_batch(seen, last)
        assert not infos["living"].any()
        begun = envs.reset() if mode == "Disabled" else envs.step(envs.action_space.sample())
        assert begun[-1]["living"].any()
        assert WORKER_RESTARTED not in envs.step(envs.action_space.sample())[4]


@pytest.mark.parametrize("mode", MODES)
def test_replaced_between_episodes(mode, made):
    """No episode is cut short, and the next one has the seed that follows."""
    every = {"restart_every": {"episodes": 2}, "on_worker_death": "raise"}
    envs = made("interpreter", 2, length=9, autoreset_mode=mode, **every)
    direct, replaced = [Crowd(9), Crowd(9)], [0, 0]
    seen, infos = envs.reset(seed=[3] * 4 + [8] * 4)
    for env, seed in zip(direct, (3, 8), strict=True):
        env.reset(seed=seed)

    def begin(n, seen, infos):
        told = infos.get(WORKER_RESTARTED, np.zeros(8, bool))[4 * n : 4 * n + 4]
        assert told.all() == told.any()
        replaced[n] += bool(told.any())
        seed = fresh_seed((3, 8)[n], replaced[n]) if told.any() else None
        expected = [each["n"] for each in direct[n].reset(seed=seed)[0].values()]
        assert seen["n"][4 * n : 4 * n + len(expected)].tolist() == expected

    for _ in range(50):
        over = np.repeat([not env.agents for env in direct], 4)
        if mode == "Disabled" and over.any():
            seen, infos = envs.reset(options={"reset_mask": over})
            for n in np.flatnonzero(over[::4]):
                begin(n, seen, infos)
        actions = envs.action_space.sample()
        seen, rewards, terminations, truncations, infos = envs.step(actions)
        for n, env in enumerate(direct):
            rows = slice(4 * n, 4 * n + 4)
            if not env.agents:
                begin(n, seen, infos)
                continue
            acting = zip(NAMES, actions[rows], strict=True)
            outcomes = env.step({name: a for name, a in acting if name in env.agents})[1:4]
            for ours, theirs in zip((rewards, terminations, truncations), outcomes, strict=True):
                assert ours[rows].tolist() == [theirs.get(name, 0) for name in NAMES]
            if mode == "SameStep" and not env.agents:
                begin(n, seen, infos)
    assert min(replaced) > 1


def test_others_of_a_worker_that_is_replaced_end(made):
    """Envs of one worker are seldom between episodes together: then one of them is cut."""
    every = {"restart_every": {"episodes": 1}, "on_worker_death": "raise"}
    envs = made("interpreter", 2, length=10**6, num_workers=1, **every)
    direct, seeds, cuts, replaced = [Crowd(10**6), Crowd(10**6)], [3, 8], 0, [0, 0]
    after = [None, None]  # seeds of the next resets
    seen, _ = envs.reset(seed=[3] * 4 + [8] * 4)
    for env, seed in zip(direct, seeds, strict=True):
        env.reset(seed=seed)
    for _ in range(60):
        last, actions = seen, envs.action_space.sample()
        seen, rewards, terminations, truncations, infos = envs.step(actions)
        told = infos.get(WORKER_RESTARTED, np.zeros(8, bool))
        for n, env in enumerate(direct):
            rows = slice(4 * n, 4 * n + 4)
            if told[rows].all():
                replaced[n] += 1
                after[n] = fresh_seed(seeds[n], replaced[n])
            if not env.agents:
                env.reset(seed=after[n])
                after[n] = None
                assert infos["living"][rows].tolist() == [name in env.agents for name in NAMES]
                assert not (rewards[rows].any() or truncations[rows].any())
            elif told[rows].all():
                cuts += 1
                env.agents = []
                assert not (infos["living"][rows].any() or infos["present"][rows].any())
                assert not (rewards[rows].any() or terminations[rows].any())
                assert truncations[rows].all()
                assert_same_batch(seen["n"][rows], last["n"][rows])
            else:
                acting = zip(NAMES, actions[rows], strict=True)
                earned = env.step({name: a for name, a in acting if name in env.agents})[1]
                assert rewards[rows].tolist() == [earned.get(name, 0) for name in NAMES]
    assert cuts > 1 and min(replaced) > 1
