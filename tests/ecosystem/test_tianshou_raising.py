# SPDX-License-Identifier: MIT
"""TianshouVectorEnv when an env raises, or is lost, while others step."""

import signal
import threading

import numpy as np
import pytest

from ecosystem.told_envs import Slow
from envring import WorkerDied
from envring.adapters.tianshou import TianshouVectorEnv


class Falling(Slow):
    """Raises for negative actions."""

    def step(self, action):
        if action < 0:
            raise RuntimeError(f"fell at {action}")
        return super().step(action)


def came(results):
    return [info["env_id"] for info in results[4]]


def fall(envs, done):
    """Env 1 raises, before or after others are `done`."""
    done += came(envs.step(np.array([0.01, -1, 0.02])))
    while True:
        done += came(envs.step(None))


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("asynchronous", [{"wait_num": 2}, {"timeout": 20.0}])
def test_an_env_raises_while_others_step(asynchronous, workers):
    """The error comes once; the env is ready again, and others go on."""
    envs = TianshouVectorEnv([Falling] * 3, num_workers=workers, **asynchronous)
    envs.reset()
    for _ in range(2):
        done = []
        with pytest.raises(RuntimeError, match="fell at -1"):
            fall(envs, done)
        assert 1 in envs.ready_id and 1 not in envs.waiting_id
        assert envs.reset([1], seed=3)[0].shape == (1, 1)  # while others are out, or not
        while envs.waiting_id:
            done += came(envs.step(None))
        assert sorted(done) == [0, 2]
        assert sorted(envs.ready_id) == [0, 1, 2]
        assert envs.reset()[0].shape == (3, 1)
        assert envs.get_env_attr("render_mode") == [None] * 3
        done = came(envs.step(np.zeros(3)))
        while envs.waiting_id:
            done += came(envs.step(None))
        assert sorted(done) == [0, 1, 2]
    with pytest.raises(RuntimeError, match="fell at -2"):
        envs.step(np.array([-2.0]), [1])
    assert came(envs.step(np.array([0.5]), [1])) == [1]  # or is stepped on, as it likes
    envs.close()


def test_several_raise_at_once():
    envs = TianshouVectorEnv([Falling] * 3, wait_num=2, num_workers=1)
    envs.reset()
    with pytest.raises(RuntimeError, match="fell at -2"):
        envs.step(np.array([-1.0, -2.0, 0.0]))
    assert sorted(envs.ready_id) == [0, 1] and envs.waiting_id == [2]
    assert came(envs.step(None)) == [2]
    envs.reset()
    envs.close()


def test_a_worker_dies_while_others_step():
    envs = TianshouVectorEnv([Slow] * 3, wait_num=2, num_workers=3)
    envs.reset()
    envs.step(np.array([0, 0, 30.0]))
    envs.vector_env.processes[2].kill()
    for _ in range(2):
        with pytest.raises(WorkerDied, match="env 2"):
            envs.step(None)
    envs.close()


def test_an_interrupt_leaves_envs_out():
    envs = TianshouVectorEnv([Slow] * 2, wait_num=1, num_workers=2)
    envs.reset()
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        envs.step(np.ones(2))
    assert envs.waiting_id == [0, 1] and envs.ready_id == []
    assert sorted(came(envs.step(None)) + came(envs.step(None))) == [0, 1]
    envs.close()
