# SPDX-License-Identifier: MIT
"""Restarts where the caller steps envs itself: those lose nothing."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from envring import WorkerRestarted
from envring.pool import restarting
from envring.testing import CountingEnv, assert_same_batch
from support.processes import counting_fns
from support.rebuilt import DrawingEnv, Rebuilt
from support.restarts import assert_ended, kill, killing

MODES = ["NextStep", "SameStep", "Disabled"]


@pytest.mark.parametrize("loop", ["compiled", "reference"])
@pytest.mark.parametrize("mode", MODES)
def test_siblings_lose_nothing(mode: str, loop: str, made: Any) -> None:
    fns: list[Any] = [lambda i=i: CountingEnv(i, (10**6,)) for i in range(6)]
    envs = made(fns, num_workers=2, caller_steps=True, autoreset_mode=mode, step_loop=loop)
    oracle = SyncVectorEnv(fns, autoreset_mode=mode)
    last, _ = envs.reset(seed=3)
    oracle.reset(seed=3)
    others = np.array([True] * 2 + [False] * 2 + [True] * 2)
    for t in range(12):
        if t in (4, 7):
            kill(envs.processes[1].pid)
        actions = np.full(6, t % 8)
        results, expected = envs.step(actions), oracle.step(actions)
        for ours, theirs in zip(results[:4], expected[:4], strict=True):
            assert_same_batch(ours[others], theirs[others])
        if t in (4, 7):
            assert_ended(results, last, slice(2, 4), mode)
            if mode == "Disabled":
                envs.reset(options={"reset_mask": ~others})
        last = results[0]


def test_calls_say_whose_worker_died(made: Any) -> None:
    envs = made(counting_fns(4), num_workers=1, caller_steps=True)
    envs.reset(seed=0)
    kill(envs.processes[0].pid)
    with pytest.raises(WorkerRestarted):
        envs.call("add", 1)
    assert len(envs.call("add", 1)) == 4
    first = range(*envs._batcher.pool.spans[0])
    assert envs.step([0] * 4)[3].tolist() == [i in first for i in range(4)]


def test_killed_without_pause(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills at random moments, envs stepped here and there: each row follows from the last one."""
    monkeypatch.setattr(restarting, "_SHORT_LIFE", 0.0)
    envs = made(counting_fns(4), num_workers=1, caller_steps=True, max_restarts=10**6)
    own = slice(*envs._batcher.pool.spans[-1])
    last, _ = envs.reset(seed=0)
    pool = envs._batcher.pool._workers
    monkeypatch.setattr(envs._batcher.pool, "workers", pool.workers, raising=False)
    with killing(envs, 0.1):
        begun = time.monotonic()
        while time.monotonic() < begun + (1.0 if envs.stats().workers[0].restarts >= 2 else 20.0):
            observations, _, _, truncations, _ = envs.step([2] * 4)
            assert not truncations[own].any()
            assert (observations[own, 2] == last[own, 2] + 1).all()
            last = observations
    assert envs.stats().workers[0].restarts >= 2


def test_sent_and_received(made: Any) -> None:
    envs = made(counting_fns(4), num_workers=1, caller_steps=True, batch_size=2)
    own = range(*envs._batcher.pool.spans[-1])
    last, _ = envs.reset(seed=0)
    envs.send([1] * 4)
    os.kill(envs.processes[0].pid, signal.SIGKILL)
    rows = {}
    for _ in range(2):
        observations, _, _, truncations, infos = envs.recv(2)
        for row, i in enumerate(infos["env_id"].tolist()):
            rows[i] = observations[row]
            if i in own:
                assert not truncations[row]
                assert observations[row][2] == last[i][2] + 1
    assert sorted(rows) == [0, 1, 2, 3]
    observations = envs.step([1] * 4)[0]
    assert (observations[own.start :, 2] == 2).all()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_replaced_between_episodes(mode: str, made: Any) -> None:
    """The caller's own env is never built anew."""
    fns: list[Any] = [lambda i=i: DrawingEnv(i, (3, 4)) for i in range(2)]
    envs = made(
        fns, num_workers=1, caller_steps=True, autoreset_mode=mode, restart_every={"episodes": 2}
    )
    oracle = SyncVectorEnv([lambda: Rebuilt(fns[0], 2), fns[1]], autoreset_mode=mode)
    assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
    for _ in range(25):
        results, expected = envs.step([1, 1]), oracle.step([1, 1])
        assert_same_batch(results[:4], expected[:4])
    assert envs.stats().workers[0].planned_restarts >= 2
