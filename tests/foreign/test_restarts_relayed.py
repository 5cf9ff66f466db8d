# SPDX-License-Identifier: MIT
"""Restarts of workers that cannot load the library: the caller takes part in the rings for them."""

from __future__ import annotations

import os
import sys
import threading
import time
from signal import SIGKILL
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from envring import EnvSource, Python, RingVectorEnv, WorkerRestarted, make_vec
from envring.pool import restarting
from envring.testing import assert_same_batch
from foreign.test_relay import HERE
from support.rebuilt import Rebuilt
from support.restarts import kill

ENV = "CartPole-v1"
MODES = ["NextStep", "SameStep", "Disabled"]
LEFT = np.zeros(4, np.int64)


def made(mode: str = "NextStep", **kwargs: Any) -> RingVectorEnv[Any, Any]:
    options = {"launcher": HERE, "num_workers": 2, "on_worker_death": "restart", **kwargs}
    envs = make_vec(ENV, 4, autoreset_mode=mode, **options)
    assert isinstance(envs, RingVectorEnv)
    return envs


@pytest.mark.parametrize("mode", MODES)
def test_siblings_lose_nothing(mode: str) -> None:
    envs = made(mode)
    assert len(envs._batcher.pool.relays) == 2
    oracle = SyncVectorEnv([lambda: gym.make(ENV)] * 2, autoreset_mode=mode)
    last: Any = envs.reset(seed=3)[0]
    oracle.reset(seed=3)
    ended = np.zeros(4, bool)
    lost = 0
    for t in range(25):
        if t in (4, 5, 15):
            kill(envs.processes[1].pid)
        results, expected = envs.step(LEFT), oracle.step(LEFT[:2])
        for ours, theirs in zip(results[:4], expected[:4], strict=True):
            assert_same_batch(ours[:2], theirs)
        told = results[4].get("worker_restarted", np.zeros(4, bool))
        assert not told[:2].any()
        if t in (4, 15):
            assert told[2:].all()
            assert (results[1][2:] == 0).all()
            had_ended = ended & (mode == "NextStep")  # these are reset
            assert_same_batch(results[3][2:], ~had_ended[2:])
            finals = results[4]["final_obs"] if mode == "SameStep" else results[0]
            for i in np.flatnonzero(results[3][2:]) + 2:
                assert_same_batch(finals[i], last[i])
            lost += 1
        last = results[0]
        ended = results[2] | results[3]
        if mode == "Disabled" and ended.any():
            last = envs.reset(options={"reset_mask": ended})[0]
            if ended[:2].any():
                assert_same_batch(last[:2], oracle.reset(options={"reset_mask": ended[:2]})[0])
    assert lost == 2
    assert envs.stats().workers[1].restarts == 3
    envs.close()


def test_messages_reach_the_successor_in_their_order() -> None:
    """A reset with seeds and options, after a reset of some that was told by another message."""
    envs = made()
    envs.reset(seed=0)
    kill(envs.processes[1].pid)
    envs.async_reset([2, 3], seed=[7, 8])
    observations, _, _, _, infos = envs.recv(2)
    assert infos["worker_restarted"].tolist() == [True, True]
    alone = [gym.make(ENV).reset(seed=seed)[0] for seed in (7, 8)]
    assert_same_batch(observations, np.stack(alone))
    kill(envs.processes[1].pid)
    observations, infos = envs.reset(seed=[1, 2, 3, 4], options={"low": -0.01, "high": 0.01})
    assert infos["worker_restarted"].tolist() == [False, False, True, True]
    assert np.abs(observations).max() <= 0.01
    kill(envs.processes[0].pid)
    with pytest.raises(WorkerRestarted, match="envs 0, 1"):
        envs.set_attr("anything", [1, 2, 3, 4])
    envs.set_attr("anything", [1, 2, 3, 4])
    assert envs.get_attr("anything") == (1, 2, 3, 4)
    assert envs.step(LEFT)[3].tolist() == [True, True, False, False]
    envs.close()


def test_killed_at_random_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside workers with the library; stepped, sent and received."""
    monkeypatch.setattr(restarting, "_SHORT_LIFE", 0.0)
    fns = [EnvSource(ENV, launcher=each) for each in [HERE] * 2 + [Python(sys.executable)] * 2]
    envs = RingVectorEnv(fns, num_workers=2, on_worker_death="restart")
    envs.reset(seed=0)
    part = next(each.pool for each in envs._batcher.pool.parts if each.pool.relays)
    rng = np.random.default_rng(0)
    for _ in range(5):
        timer = threading.Timer(rng.uniform(0, 0.02), os.kill, (part.workers[0].pid, SIGKILL))
        timer.start()
        told = np.zeros(4, bool)
        until = time.monotonic() + 20
        while not told[:2].all() and time.monotonic() < until:
            told |= envs.step(LEFT)[4].get("worker_restarted", False)
            envs.send(LEFT)
            for _ in range(2):
                infos = envs.recv(2)[4]
                told[infos["env_id"]] |= infos.get("worker_restarted", False)
        timer.join()
        assert told[:2].all()  # else the next one would be killed before this death was noticed
        assert not told[2:].any()
    envs.close()


def test_a_hang_is_a_death(tmp_path: Any) -> None:
    file = tmp_path / "hangs.py"
    file.write_text(HANGS)
    source = EnvSource(f"{file}:Hangs", kwargs={"flag": str(tmp_path / "flag")})
    envs = RingVectorEnv(
        [source] * 2, launcher=HERE, num_workers=2, on_worker_death="restart", step_timeout=2.0
    )
    envs.reset(seed=0)
    envs.step([0, 0])
    (tmp_path / "flag").touch()
    truncations, infos = envs.step([0, 1])[3:]
    assert truncations.tolist() == [False, True]
    assert infos["worker_restarted"].tolist() == [False, True]
    envs.close()


HANGS = """
import os
import time

import gymnasium as gym


class Hangs(gym.Wrapper):
    def __init__(self, flag):
        gym.Wrapper.__init__(self, gym.make("CartPole-v1"))
        self.flag = flag

    def step(self, action):
        if action == 1 and os.path.exists(self.flag):
            os.unlink(self.flag)
            time.sleep(60)
        return self.env.step(action)
"""


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_replaced_between_episodes(mode: str) -> None:
    """Results are those of envs of this process that are built anew."""
    envs = make_vec(
        ENV, 2, launcher=HERE, num_workers=2, autoreset_mode=mode, restart_every={"episodes": 2}
    )
    fns = [lambda: Rebuilt(lambda: gym.make(ENV), 2)] * 2
    oracle = SyncVectorEnv(fns, autoreset_mode=mode)
    assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
    for _ in range(60):
        assert_same_batch(envs.step(LEFT[:2]), oracle.step(LEFT[:2]))
    assert min(worker.planned_restarts for worker in envs.stats().workers) >= 2
    envs.close()
