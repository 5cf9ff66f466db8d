# SPDX-License-Identifier: MIT
"""Restarts with copy=False: the same arrays every time, which no worker that dies can spoil."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text
from gymnasium.vector import SyncVectorEnv

from envring.pool import restarting
from envring.testing import CountingEnv, SpaceEnv, assert_same_batch
from support.rebuilt import Rebuilt
from support.restarts import assert_ended, kill, killing

MODES = ["NextStep", "SameStep", "Disabled"]
KINDS = Dict(box=Box(-1, 1, (2, 3), np.float32), number=Discrete(5), text=Text(8))


class Wide(gym.Env[Any, Any]):
    """Writes one number into all of a large observation, or dies when half of it is written."""

    observation_space = Box(-np.inf, np.inf, (70, 1000), np.float32)
    action_space = Discrete(2)

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.t = path, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.t = 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        if self.path is not None and self.path.exists():
            self.path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._observation(), 0.0, False, False, {}

    def _observation(self) -> Any:
        return np.full((70, 1000), self.t, np.float32)


@pytest.mark.parametrize("mode", MODES)
def test_the_same_arrays_and_the_same_values(mode: str, made: Any) -> None:
    """Beside the same vector env with copy=True, whose workers are killed at the same times."""
    fns = [partial(SpaceEnv, index=i, lengths=(3, 5), observation_space=KINDS) for i in range(4)]
    both = [made(fns, num_workers=2, autoreset_mode=mode, copy=copy) for copy in (False, True)]
    (shared, _), _ = (envs.reset(seed=3) for envs in both)
    box = shared["box"]
    ended = np.zeros(4, bool)
    for t in range(12):
        if t in (2, 7, 8):
            for envs in both:
                kill(envs.processes[1].pid)
        if mode == "Disabled" and ended.any():
            assert_same_batch(*(envs.reset(options={"reset_mask": ended.copy()}) for envs in both))
        both[0].action_space.seed(t)
        actions = both[0].action_space.sample()
        got, expected = (envs.step(actions) for envs in both)
        assert_same_batch(got, expected)
        assert got[0] is shared
        assert got[0]["box"] is box
        ended = got[2] | got[3]
    assert [envs.stats().workers[1].restarts for envs in both] == [3, 3]


def test_what_is_held_stays_whole(made: Any, tmp_path: Path) -> None:
    """A worker dies while its batch is stored; until the next one is handed out nothing changes."""
    path = tmp_path / "die"
    envs = made([Wide, Wide, Wide, partial(Wide, path)], num_workers=2, copy=False)
    held, _ = envs.reset()
    assert envs.step([0] * 4)[0] is held
    path.touch()
    envs.step_async([0] * 4)
    until = time.monotonic() + 10
    while path.exists() and time.monotonic() < until:
        assert (held == 1).all()
    _, _, _, truncations, infos = envs.step_wait()
    assert truncations.tolist() == [False, False, True, True]
    assert infos["worker_restarted"].tolist() == truncations.tolist()
    assert (held[:2] == 2).all()
    assert (held[2:] == 1).all()
    envs.step([0] * 4)
    assert held[:, 0, 0].tolist() == [3, 3, 0, 0]


def test_sent_and_received_and_stepped(made: Any) -> None:
    """What was handed out is the last observation, whichever way it was."""
    envs = made([partial(CountingEnv, i, (99,)) for i in range(4)], num_workers=2, copy=False)
    held, _ = envs.reset(seed=0)
    envs.send(np.full(4, 1))
    last = envs.recv(4)[0]
    assert (held[:, 2] == 0).all()
    kill(envs.processes[1].pid)
    results = envs.step([1] * 4)
    assert results[0] is held
    assert_ended(results, last, slice(2, 4), "NextStep")
    kill(envs.processes[0].pid)
    last = held.copy()
    envs.send(np.full(4, 1))
    assert_ended(envs.recv(4), last, slice(0, 2), "NextStep")


def test_killed_without_pause(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarting, "_SHORT_LIFE", 0.0)
    envs = made([Wide] * 4, num_workers=2, copy=False, max_restarts=10**6)
    held, _ = envs.reset()
    ends = 0
    with killing(envs, 0.3):
        until = time.monotonic() + 20
        while ends < 6 and time.monotonic() < until:
            last = held[:, 0, 0].copy()
            truncations = envs.step([0] * 4)[3]
            assert (held == held[:, :1, :1]).all()
            assert_same_batch(held[truncations, 0, 0], last[truncations])
            ends += int(truncations.sum())
    assert ends >= 6


def test_replaced_between_episodes(replacing: Any) -> None:
    fns = [partial(CountingEnv, i, (3, 4)) for i in range(2)]
    envs = replacing(fns, {"episodes": 2}, copy=False)
    oracle = SyncVectorEnv([partial(Rebuilt, fn, 2) for fn in fns])
    assert_same_batch(envs.reset(seed=3), oracle.reset(seed=3))
    for _ in range(30):
        assert_same_batch(envs.step([0, 0]), oracle.step([0, 0]))
    assert min(worker.planned_restarts for worker in envs.stats().workers) >= 2


def test_rollouts(made: Any) -> None:
    """Their arrays are views of what workers write, but the last observation is not written."""
    fns = [partial(CountingEnv, i, (99,)) for i in range(2)]
    envs = made(fns, num_workers=2, copy=False, slots=4)
    rollout = envs.rollout()
    last = np.array(rollout.reset(seed=0)[0])
    for t in range(7):
        if t in (1, 4):
            kill(envs.processes[1].pid)
        results = rollout.step([1, 1])
        if t in (1, 4):
            assert_ended(results, last, slice(1, 2), "NextStep")
        last = np.array(results[0])
