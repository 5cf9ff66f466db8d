# SPDX-License-Identifier: MIT
"""Restarts as EnvPool's interface has the ends of episodes."""

import time

import numpy as np
import pytest

from envring import WorkerDied
from envring.pool.seeds import fresh_seed
from support.pools import with_pool
from support.rebuilt import DrawingEnv
from support.restarts import kill

OPTIONS = {"num_envs": 4, "num_threads": 2, "seed": 5, "on_worker_death": "restart"}
LONG = {"lengths": (10**6,)}


def kill_worker(pool, number):
    kill(pool._envs.processes[number].pid)


def drawing():
    return DrawingEnv(**LONG)


def two_steps():
    return DrawingEnv(lengths=(2,))


def assert_truncated(results, last, rows):
    """These rows, and no others, are ends of episodes that were lost."""
    observations, rewards, terminations, truncations, infos = results
    assert rewards.dtype == np.float32 and not rewards[rows].any()
    assert truncations.tolist() == rows.tolist()
    assert not terminations.any()
    assert infos["worker_restarted"].tolist() == rows.tolist()
    assert observations[rows].tobytes() == last[rows].tobytes()


@with_pool(drawing, "gymnasium", **OPTIONS)
def test_a_death(pool):
    pool.reset()
    for restarts in (1, 2):
        for _ in range(3):
            last, _, _, _, infos = pool.step(np.ones(4, int))
        assert infos["elapsed_step"].tolist() == ([3] * 4 if restarts == 1 else [8, 8, 3, 3])
        kill_worker(pool, 1)
        results = pool.step(np.ones(4, int))
        assert_truncated(results, last, np.arange(4) > 1)
        results = pool.step(np.ones(4, int))  # resets them
        assert results[0][2:, 2:].tolist() == [[0, -1]] * 2
        assert results[4]["elapsed_step"][2:].tolist() == [0, 0]
        assert "worker_restarted" not in results[4]
        seeds = [fresh_seed(5 + i, restarts) for i in (2, 3)]
        assert results[4]["seed"][2:].tolist() == seeds


@with_pool(drawing, "gymnasium", **OPTIONS)
def test_rows_in_the_order_of_sending(pool):
    pool.reset()
    last = pool.step(np.ones(4, int))[0]
    kill_worker(pool, 0)
    order = np.array([3, 1, 2, 0])
    pool.send(np.ones(2, int), order[:2])
    pool.send(np.ones(2, int), order[2:])
    results = pool.recv()
    assert results[4]["env_id"].tolist() == order.tolist()
    assert_truncated(results, last[order], order < 2)


@with_pool(drawing, "gymnasium", batch_size=2, **OPTIONS)
def test_an_asynchronous_pool(pool):
    """Others are received meanwhile; nothing is received twice, or lost."""
    pool.async_reset()
    last, cuts, begun, kills = {}, [], set(), 0
    until = time.monotonic() + 30
    while len(cuts) < 4 and time.monotonic() < until:
        observations, rewards, _, truncations, infos = pool.recv()
        ids = infos["env_id"]
        for row, env_id in enumerate(ids.tolist()):
            if truncations[row]:
                assert infos["worker_restarted"][row] and rewards[row] == 0
                assert observations[row].tobytes() == last[env_id]
                cuts.append(env_id)
                begun.discard(env_id)
            elif infos["elapsed_step"][row] == 0:
                assert env_id not in begun
                begun.add(env_id)
            last[env_id] = observations[row].tobytes()
        if len(cuts) == 2 * kills < 4 and {2, 3} <= begun:
            kills += 1
            kill_worker(pool, 1)
        pool.send(np.ones(2, int), ids)
    assert sorted(cuts) == [2, 2, 3, 3]


@with_pool(drawing, "gymnasium", **OPTIONS)
def test_a_death_in_a_reset(pool):
    kill_worker(pool, 0)
    infos = pool.reset()[1]
    assert infos["worker_restarted"].tolist() == [True, True, False, False]
    assert infos["seed"].tolist() == [5, 6, 7, 8]


@with_pool(drawing, "dm", **OPTIONS)
def test_as_time_steps(pool):
    pool.reset()
    last = pool.step(np.ones(4, int))
    kill_worker(pool, 1)
    told = pool.step(np.ones(4, int))
    assert told.step_type.tolist() == [1, 1, 2, 2]
    assert told.discount.tolist() == [1, 1, 0, 0]
    assert not told.reward[2:].any()
    assert told.observation.worker_restarted.tolist() == [False, False, True, True]
    assert told.observation.obs[2:].tobytes() == last.observation.obs[2:].tobytes()
    assert pool.step(np.ones(4, int)).step_type.tolist() == [1, 1, 0, 0]


@with_pool(two_steps, "gymnasium", num_envs=2, num_threads=2, restart_every={"episodes": 2})
def test_replaced_between_episodes(pool):
    pool.reset()
    said = []
    for t in range(1, 19):  # two steps, and one that resets
        _, _, terminations, truncations, infos = pool.step(np.ones(2, int))
        assert not truncations.any()
        assert terminations.all() == terminations.any() == (t % 3 == 2)
        assert infos["elapsed_step"].tolist() == [t % 3] * 2
        if t % 3 == 0:
            said.append(bool(infos.get("worker_restarted", np.zeros(2, bool)).all()))
            if said[-1]:
                seeds = [fresh_seed(42 + i, sum(said)) for i in range(2)]
                assert infos["seed"].tolist() == seeds
    assert said == [False, True] * 3


@with_pool(drawing, "gymnasium", max_restarts=1, **OPTIONS)
def test_too_many(pool):
    pool.reset()
    kill_worker(pool, 0)
    assert pool.step(np.ones(4, int))[3].tolist() == [True, True, False, False]
    kill_worker(pool, 0)
    for _ in range(2):
        with pytest.raises(WorkerDied):
            pool.step(np.ones(4, int))
