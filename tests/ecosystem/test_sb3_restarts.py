# SPDX-License-Identifier: MIT
"""Restarts as SB3 has the ends of episodes; other envs are those of DummyVecEnv."""

import itertools
import sys

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from ecosystem.restarted import ENVS, kill_worker, sources
from ecosystem.same import difference
from ecosystem.told_envs import told
from envring import WorkerDied, WorkerRestarted
from envring.adapters.sb3 import RingVecEnv
from envring.pool import restarting
from envring.pool.seeds import fresh_seed
from support.hosts import running
from support.proxy import Proxy
from support.rebuilt import Rebuilt


@pytest.fixture
def made():
    envs = []

    def make(fns, start_method="fork", **ours):
        ours.setdefault("on_worker_death", "restart")
        envs.append(RingVecEnv(fns, start_method, **ours))
        return envs[-1]

    yield make
    for each in envs:
        each.close()


@pytest.mark.parametrize("where", ["workers", "interpreter"])
def test_the_step_of_a_death(where, made):
    if where == "workers":
        env = made(told(6), num_workers=3)
    else:
        env = made(sources(6), num_workers=3, launcher=f"prefix:{sys.prefix}", on_unsendable="repr")
    env.seed(1)
    theirs = DummyVecEnv(told(4))  # those that lose nothing
    theirs.seed(1)
    last = env.reset()
    assert difference(last[:4], theirs.reset()) == ""
    restarts = 0
    for t in range(20):
        lost = t in (3, 10)
        if lost:
            restarts += 1
            kill_worker(env, 2)
        actions = np.arange(6) * t % 5
        observations, rewards, dones, infos = env.step(actions)
        results = observations[:4], rewards[:4], dones[:4], infos[:4]
        expected = theirs.step(actions[:4])
        if where == "workers":
            assert difference(results, expected) == "", t
        assert all("worker_restarted" not in info for info in infos[:4])
        for i in (4, 5):
            if lost:
                assert dones[i] and rewards[i] == 0 and rewards.dtype == np.float32
                assert list(infos[i]) == [
                    "TimeLimit.truncated",
                    "terminal_observation",
                    "worker_restarted",
                ]
                assert infos[i]["TimeLimit.truncated"] is infos[i]["worker_restarted"] is True
                assert difference(infos[i]["terminal_observation"], last[i]) == ""
                assert env.reset_infos[i]["worker_restarted"] is True
                assert env.get_attr("np_random_seed", i) == [fresh_seed(1 + i, restarts)]
            else:
                assert "worker_restarted" not in infos[i]
        last = observations
    assert env.vector_env.stats().workers[2].restarts == 2


def test_a_connection_is_lost(made):
    with running(ENVS, "--grace", "0.3") as host:
        proxy = Proxy(host.url)
        try:
            # a forked worker would hold the ends of connections that are cut here
            env = made(sources(2), None, remotes=proxy.url, on_unsendable="repr")
            last = env.reset()
            proxy.cut_after(0)
            _, rewards, dones, infos = env.step(np.zeros(2, int))
            assert not rewards.any() and dones.all()
            for i in range(2):
                assert infos[i]["worker_restarted"] and infos[i]["TimeLimit.truncated"]
                assert difference(infos[i]["terminal_observation"], last[i]) == ""
            assert all("worker_restarted" not in each for each in env.step([1, 1])[3])
            env.close()
        finally:
            proxy.close()


def test_a_death_in_a_reset_or_before_one(made):
    env = made(told(4), num_workers=2)
    theirs = DummyVecEnv(told(4))
    for n, cut in enumerate(("between", "in a step")):
        for each in (env, theirs):
            each.seed(n)
            each.set_options({"n": n})
        env.reset()
        if cut == "in a step":
            env.step_async(np.zeros(4, int))
        kill_worker(env, 1)
        for each in (env, theirs):
            each.seed(n)
            each.set_options({"n": n})
        assert difference(env.reset(), theirs.reset()) == ""
        says = [info.pop("worker_restarted", False) for info in env.reset_infos]
        if cut == "between":  # else the step that is forgotten may have told it
            assert says == [False, False, True, True]
        assert difference(env.reset_infos, theirs.reset_infos) == ""
        assert difference(env.step(np.ones(4, int)), theirs.step(np.ones(4, int))) == ""
    theirs.close()


def test_questions_that_are_cut_off(made):
    env = made(told(4), num_workers=2)
    env.reset()
    for ask in (
        lambda: env.get_attr("rank"),
        lambda: env.env_method("add", 1, indices=[3]),
        lambda: env.set_attr("level", 1),
        lambda: env.has_attr("rank"),
        env.get_images,
    ):
        kill_worker(env, 1)
        with pytest.raises(WorkerRestarted, match="env"):
            ask()
        assert env.get_attr("rank") == [0, 1, 2, 3]
        infos = env.step(np.zeros(4, int))[3]
        assert ["worker_restarted" in info for info in infos] == [False] * 2 + [True] * 2


def test_replaced_between_episodes(made):
    """What DummyVecEnv has of envs that are built anew; but the info of the step says so, too."""
    fns = [lambda fn=fn: Rebuilt(fn, 2) for fn in told(3)]
    every = {"restart_every": {"episodes": 2}, "on_worker_death": "raise"}
    env, theirs = made(told(3), num_workers=3, **every), DummyVecEnv(fns)
    for each in (env, theirs):
        each.seed(2)
    assert difference(env.reset(), theirs.reset()) == ""
    replaced = 0
    for t in range(40):
        actions = np.arange(3) * t % 5
        results, expected = env.step(actions), theirs.step(actions)
        for i in np.flatnonzero(expected[2]):
            if "worker_restarted" in theirs.reset_infos[i]:
                expected[3][i]["worker_restarted"] = True
                replaced += 1
        assert difference(results, expected) == "", t
        assert difference(env.reset_infos, theirs.reset_infos) == "", t
    assert replaced > 5
    theirs.close()


def test_an_end_for_vec_monitor(made):
    env = VecMonitor(made([lambda: gym.make("CartPole-v1")] * 4, num_workers=2))
    env.seed(0)
    env.reset()
    for _ in range(3):
        env.step(np.array([0, 1, 0, 1]))
    kill_worker(env.venv, 0)
    infos = env.step(np.array([0, 1, 0, 1]))[3]
    for i in (0, 1):
        assert infos[i]["worker_restarted"] and infos[i]["TimeLimit.truncated"]
        assert (infos[i]["episode"]["r"], infos[i]["episode"]["l"]) == (3, 4)
    assert "episode" not in infos[2] and "episode" not in infos[3]


def test_training_goes_on(made, monkeypatch):
    monkeypatch.setattr(restarting, "_SHORT_LIFE", 0.0)
    env = made([lambda: Monitor(gym.make("CartPole-v1"))] * 4, num_workers=2, max_restarts=1000)
    calls = itertools.count(1)

    def kill_some(*_):
        if next(calls) % 100 == 0:
            kill_worker(env, 1)
        return True

    PPO("MlpPolicy", env, n_steps=64, seed=1, device="cpu").learn(2048, kill_some)
    model = DQN("MlpPolicy", env, seed=1, device="cpu", learning_starts=100)
    model.learn(1000, kill_some)
    assert [worker.restarts for worker in env.vector_env.stats().workers] == [0, 7]


def test_too_many(made):
    env = made(told(2), num_workers=1, max_restarts=1)
    env.reset()
    kill_worker(env, 0)
    assert env.step([0, 0])[2].all()
    kill_worker(env, 0)
    for _ in range(2):
        with pytest.raises(WorkerDied):
            env.step([0, 0])
