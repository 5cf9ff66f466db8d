# SPDX-License-Identifier: MIT
"""Restarts as Tianshou has the ends of episodes; other envs are those of DummyVectorEnv."""

import sys

import numpy as np
import pytest
from tianshou.env import DummyVectorEnv

from ecosystem.restarted import ENVS, kill_worker, sources
from ecosystem.same import difference
from ecosystem.told_envs import told
from envring import WorkerDied, WorkerRestarted
from envring.adapters.tianshou import TianshouVectorEnv
from envring.pool.seeds import fresh_seed
from support.hosts import running
from support.proxy import Proxy
from support.rebuilt import Rebuilt


@pytest.fixture
def made():
    envs = []

    def make(fns, **ours):
        ours.setdefault("on_worker_death", "restart")
        envs.append(TianshouVectorEnv(fns, **ours))
        return envs[-1]

    yield make
    for each in envs:
        each.close()


def assert_end(results, row, last):
    """The row is the end of an episode that was lost."""
    observations, rewards, terminations, truncations, infos = results
    assert difference(observations[row], last) == ""
    assert rewards[row] == 0 and not terminations[row] and truncations[row]
    env_id = infos[row]["env_id"]
    assert infos[row] == {"worker_restarted": True, "env_id": env_id}


@pytest.mark.parametrize("where", ["workers", "interpreter"])
@pytest.mark.parametrize("some", [False, True])
def test_the_step_of_a_death(where, some, made):
    options = {"num_workers": 3}
    if where == "interpreter":
        options |= {"launcher": f"prefix:{sys.prefix}", "on_unsendable": "repr"}
    envs = made(told(6) if where == "workers" else sources(6), **options)
    theirs = DummyVectorEnv(told(4))  # those that lose nothing
    envs.seed(1)
    theirs.seed(1)
    last, _ = envs.reset()
    assert difference(last[:4], theirs.reset()[0]) == ""
    ids = [5, 0, 3, 4, 2, 1] if some else None
    order = np.array(ids or range(6))
    kept = order < 4
    restarts = 0
    for t in range(16):
        lost = t in (3, 9)
        if lost:
            restarts += 1
            kill_worker(envs, 2)
        actions = order * t % 5
        results = envs.step(actions, ids)
        expected = theirs.step(actions[kept], order[kept].tolist())
        assert [info["env_id"] for info in results[4]] == order.tolist()
        if where == "workers":
            for ours, wanted in zip(results, expected, strict=True):
                assert difference(list(ours[kept]), list(wanted)) == "", t
        over = order[kept][expected[2] | expected[3]]
        if len(over):
            assert difference(envs.reset(over)[0], theirs.reset(over)[0]) == ""
        for row in np.flatnonzero(~kept):
            env_id = int(order[row])
            if lost:
                assert_end(results, row, last[env_id])
                assert "worker_restarted" not in envs.reset([env_id])[1][0]
                seed = fresh_seed(1 + env_id, restarts)
                assert envs.get_env_attr("np_random_seed", env_id) == [seed]
            else:
                assert "worker_restarted" not in results[4][row]
        last = np.empty_like(last)
        last[order] = results[0]
    assert envs.vector_env.stats().workers[2].restarts == 2
    theirs.close()


def test_a_death_in_a_reset(made):
    envs, theirs = made(told(4), num_workers=2), DummyVectorEnv(told(4))
    envs.reset()
    kill_worker(envs, 1)
    observations, infos = envs.reset(seed=3)
    expected, wanted = theirs.reset(seed=3)
    assert [info.pop("worker_restarted", False) for info in infos] == [False] * 2 + [True] * 2
    assert difference([observations, list(infos)], [expected, list(wanted)]) == ""
    kill_worker(envs, 1)
    observations, infos = envs.reset([3], seed=4)
    assert infos[0]["worker_restarted"]
    last = observations[0]
    observations = envs.step([1, 1], [3, 2])  # 3 was reset; 2 has lost its episode
    assert not observations[3][0] and observations[3][1]
    assert not np.array_equal(observations[0][0], last)
    theirs.close()


def test_questions_that_are_cut_off(made):
    envs = made(told(4), num_workers=2)
    envs.reset()
    for ask in (
        lambda: envs.get_env_attr("rank"),
        lambda: envs.set_env_attr("level", 1, [3]),
        envs.render,
    ):
        kill_worker(envs, 1)
        with pytest.raises(WorkerRestarted, match="env"):
            ask()
        assert envs.get_env_attr("rank") == [0, 1, 2, 3]
        assert envs.step([0] * 4)[3].tolist() == [False, False, True, True]
        envs.reset()


def test_a_connection_is_lost(made):
    with running(ENVS, "--grace", "0.3") as host:
        proxy = Proxy(host.url)
        try:
            # a forked worker would hold the ends of connections that are cut here
            options = {"remotes": proxy.url, "on_unsendable": "repr", "context": "forkserver"}
            envs = made(sources(2), **options)
            last, _ = envs.reset()
            for actions in (np.zeros(2, int), [1, 1]):  # as rows, and as a message
                proxy.cut_after(0)
                results = envs.step(actions, [1, 0])
                assert_end(results, 0, last[1])
                assert_end(results, 1, last[0])
                last, _ = envs.reset()
            assert not envs.step([1], [1])[3].any()
            envs.close()
        finally:
            proxy.close()


def test_envs_that_do_not_wait(made):
    envs = made(told(3), num_workers=3, wait_num=2)
    envs.seed(1)
    last = envs.reset()[0]
    kill_worker(envs, 1)
    came = {}
    results = envs.step(np.zeros(3, int))
    while True:
        for row, info in enumerate(results[4]):
            came[info["env_id"]] = [each[row] for each in results]
        if not envs.waiting_id:
            break
        results = envs.step(None)
    assert sorted(came) == sorted(envs.ready_id) == [0, 1, 2]
    assert_end([[each] for each in came[1]], 0, last[1])
    assert not came[0][3] and not came[2][3]
    envs.reset([1])
    assert envs.get_env_attr("np_random_seed", 1) == [fresh_seed(2, 1)]
    results = envs.step([1], [1])
    assert not results[3].any() and envs.waiting_id == []


def test_replaced_between_episodes(made):
    """Bit for bit what DummyVectorEnv has of envs that are built anew."""
    fns = [lambda fn=fn: Rebuilt(fn, 2) for fn in told(3)]
    every = {"restart_every": {"episodes": 2}, "on_worker_death": "raise"}
    envs, theirs = made(told(3), num_workers=3, **every), DummyVectorEnv(fns)
    for each in (envs, theirs):
        each.seed(2)
    ends = replaced = 0
    for t in range(60):
        actions = np.arange(3) * t % 5
        results, expected = envs.step(actions), theirs.step(actions)
        for ours, wanted in zip(results, expected, strict=True):
            assert difference(list(ours), list(wanted)) == "", t
        over = np.flatnonzero(expected[2] | expected[3])
        if len(over):
            ours, wanted = envs.reset(over), theirs.reset(over)
            assert difference([ours[0], list(ours[1])], [wanted[0], list(wanted[1])]) == "", t
            ends += len(over)
            replaced += sum("worker_restarted" in info for info in ours[1])
    assert ends > 20 and replaced > 5
    theirs.close()


def test_too_many(made):
    envs = made(told(2), num_workers=1, max_restarts=1)
    envs.reset()
    kill_worker(envs, 0)
    assert envs.step([0, 0])[3].all()
    kill_worker(envs, 0)
    for _ in range(2):
        with pytest.raises(WorkerDied):
            envs.step([0, 0])
