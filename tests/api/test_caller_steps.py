# SPDX-License-Identifier: MIT
"""caller_steps=True: the calling process steps the last slice itself."""

from __future__ import annotations

import contextlib
import os
import sys
from functools import partial

import numpy as np
import pytest
from gymnasium.spaces import Discrete, Sequence
from gymnasium.vector import SyncVectorEnv

import envring
from envring.testing import CountingEnv, DyingEnv, SpaceEnv, assert_same_batch
from envring.testing.conformance_base import quiet
from support.arrivals import Alone


@contextlib.contextmanager
def running(env_fns, **kwargs):
    envs = envring.RingVectorEnv(env_fns, caller_steps=True, **kwargs)
    try:
        yield envs
    finally:
        envs.close()


def test_who_steps_which():
    with running([CountingEnv] * 7, num_workers=2) as envs:
        pids = envs.get_attr("pid")
        assert pids[4:] == (os.getpid(),) * 3
        assert os.getpid() not in pids[:4]
        assert len(set(pids)) == 3
        assert envs.num_workers == 2


def test_there_is_one_worker_less_by_default(monkeypatch):
    monkeypatch.setattr("envring.pool.options.usable_cpus", lambda: 3)
    with running([CountingEnv] * 6) as envs:
        assert envs.num_workers == 2
    with running([CountingEnv]) as envs:  # nothing is left for a worker
        assert envs.num_workers == 0
        envs.reset(seed=1)
        envs.step([0])


@pytest.mark.parametrize("infos", ["none", "steady", "churn"])
def test_infos_of_both(infos):
    fns = [partial(CountingEnv, index=i, lengths=[2, 3], infos=infos) for i in range(5)]
    oracle = SyncVectorEnv(fns)
    with running(fns, num_workers=1) as envs:
        assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
        for actions in np.random.default_rng(0).integers(0, 5, (12, 5)):
            assert_same_batch(envs.step(actions), oracle.step(actions))


def test_send_and_recv():
    fns = [partial(CountingEnv, index=i, lengths=[2, 3]) for i in range(6)]
    with running(fns, num_workers=1, batch_size=2) as envs:
        alone = Alone(fns, "NextStep")
        envs.async_reset(seed=1)
        alone.reset(range(6), range(1, 7), None)
        for _ in range(40):
            env_ids = alone.check(envs.recv(timeout=30))
            envs.send(np.zeros(2, np.int64), env_ids)
            alone.step(env_ids, [np.zeros(1, np.int64)] * 2)
        alone.check(envs.recv(6, timeout=30))


class Raising(CountingEnv):
    def step(self, action):
        if action == 3:
            raise KeyError("no such level")
        return super().step(action)


def test_an_exception_of_an_own_env():
    with running([Raising] * 4, num_workers=1) as envs:
        envs.reset(seed=0)
        with quiet(), pytest.raises(KeyError, match="no such level"):
            envs.step([0, 0, 0, 3])
        envs.step([0, 0, 0, 0])


def test_a_worker_that_dies():
    with running([partial(DyingEnv, where="step"), CountingEnv], num_workers=1) as envs:
        envs.reset(seed=0)
        with quiet(), pytest.raises(envring.WorkerDied, match="env 0"):
            envs.step([0, 0])


def test_actions_that_are_messages():
    fns = [partial(SpaceEnv, Discrete(3), Sequence(Discrete(4)))] * 3
    oracle = SyncVectorEnv(fns)
    with running(fns, num_workers=1) as envs:
        envs.action_space.seed(1)
        assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
        for _ in range(3):
            actions = envs.action_space.sample()
            assert_same_batch(envs.step(actions), oracle.step(actions))


def test_other_interpreters_are_refused():
    source = envring.EnvSource("CartPole-v1")
    with pytest.raises(envring.LauncherError, match="caller_steps=True"):
        envring.RingVectorEnv(
            [source] * 4, launcher=envring.Python(sys.executable), caller_steps=True
        )


def test_numbers_of_python():
    with running([CountingEnv] * 2, num_workers=1) as envs:
        envs.reset(seed=0)
        assert envs.step([1, 2])[0][:, 3].tolist() == [1, 2]
