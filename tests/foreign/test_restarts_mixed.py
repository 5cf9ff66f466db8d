# SPDX-License-Identifier: MIT
"""Restarts in vector envs of several launchers, each of which has a segment of its own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from envring import EnvSource, RingVectorEnv, WorkerRestarted
from envring.testing import assert_same_batch
from support.processes import wait_until
from support.rebuilt import Rebuilt
from support.restarts import kill

PYTHON = f"python:{sys.executable}"
LAUNCHERS = [None, None, PYTHON, PYTHON]
MODES = ["NextStep", "SameStep", "Disabled"]


@pytest.fixture
def made() -> Iterator[Callable[..., RingVectorEnv[Any, Any]]]:
    """Makes vector envs of two local envs and two of another interpreter, a worker each."""
    envs: list[RingVectorEnv[Any, Any]] = []

    def make(**kwargs: Any) -> RingVectorEnv[Any, Any]:
        fns = [EnvSource("CartPole-v1", launcher=each) for each in LAUNCHERS]
        envs.append(RingVectorEnv(fns, num_workers=4, **kwargs))
        return envs[-1]

    yield make
    for each in envs:
        each.close()


@pytest.mark.parametrize("dies", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_siblings_lose_nothing(mode: str, dies: int, made: Any) -> None:
    """Those of the same launcher and of the other one."""
    envs = made(autoreset_mode=mode, on_worker_death="restart")
    oracle = SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 4, autoreset_mode=mode)
    last, _ = envs.reset(seed=1)
    expected = [oracle.reset(seed=1)[0]]
    others = [i for i in range(4) if i != dies]
    ends = 0
    for t in range(12):
        if mode == "Disabled" and t == 10:  # they fall
            break
        if t in (3, 6):
            kill(envs.processes[dies].pid)
        actions = np.full(4, t % 2)
        results, expected = envs.step(actions), oracle.step(actions)  # type: ignore[assignment]
        for ours, theirs in zip(results[:4], expected[:4], strict=True):
            assert_same_batch(ours[others], theirs[others])
        if t in (3, 6):
            assert results[3].tolist() == [i == dies for i in range(4)]
            assert results[4]["worker_restarted"].tolist() == results[3].tolist()
            assert results[1][dies] == 0
            final = results[4]["final_obs"] if mode == "SameStep" else results[0]
            assert_same_batch(np.asarray(final[dies]), last[dies])
            ends += 1
            if mode == "Disabled":
                mask = np.arange(4) == dies
                results = (envs.reset(options={"reset_mask": mask})[0], *results[1:])
        last = results[0]
    assert ends == 2
    restarts = [worker.restarts for worker in envs.stats().workers]
    assert restarts == [2 * (i == dies) for i in range(4)]


@pytest.mark.parametrize("dies", [0, 3])
def test_calls_say_whose_worker_died(dies: int, made: Any) -> None:
    """The batch of the others is over, too: the next call is a new one."""
    envs = made(on_worker_death="restart")
    envs.reset(seed=0)
    pid = envs.processes[dies].pid
    kill(pid)
    with pytest.raises(WorkerRestarted) as caught:
        envs.get_attr("gravity")
    assert (caught.value.env_ids, caught.value.signal) == ((dies,), signal.SIGKILL)
    assert envs.get_attr("gravity") == (9.8,) * 4
    assert envs.step(np.zeros(4, np.int64))[3].tolist() == [i == dies for i in range(4)]


@pytest.mark.parametrize("dies", [0, 3])
def test_sent_and_received(dies: int, made: Any) -> None:
    envs = made(on_worker_death="restart", batch_size=1)
    envs.reset(seed=0)
    envs.send(np.zeros(4, np.int64))
    rows = {}
    for _ in range(4):
        observations, *_, infos = envs.recv(1)
        rows[int(infos["env_id"][0])] = observations[0]
    kill(envs.processes[dies].pid)
    envs.send(np.zeros(4, np.int64))
    for _ in range(4):
        observations, _, _, truncations, infos = envs.recv(1)
        i = int(infos["env_id"][0])
        assert truncations[0] == (i == dies)
        if i == dies:
            assert_same_batch(observations[0], rows[i])
        else:
            assert np.abs(observations[0] - rows[i]).max() > 0
    envs.step(np.zeros(4, np.int64))


def test_a_result_that_was_not_received_is_the_last_one(made: Any) -> None:
    """Of a worker with a segment of its own, from which nobody has copied it yet."""
    envs = made(on_worker_death="restart", batch_size=1)
    first, _ = envs.reset(seed=0)
    envs.send(np.zeros(4, np.int64))
    foreign = envs._batcher.arrivals()._flow._flows[1]
    wait_until(lambda: foreign.ready() == 2, 10, "both have answered")
    kill(envs.processes[3].pid)
    observations, _, _, truncations, infos = envs.recv(4)
    order = np.argsort(infos["env_id"])
    row = observations[order][3]
    assert not truncations.any()
    assert np.abs(row - first[3]).max() > 0
    envs.send(np.zeros(4, np.int64))
    observations, _, _, truncations, infos = envs.recv(4)
    order = np.argsort(infos["env_id"])
    assert truncations[order].tolist() == [False] * 3 + [True]
    assert_same_batch(observations[order][3], row)


def test_replaced_between_episodes(made: Any) -> None:
    envs = made(restart_every={"episodes": 2})
    oracle = SyncVectorEnv([lambda: Rebuilt(lambda: gym.make("CartPole-v1"), 2)] * 4)
    assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
    for _ in range(45):
        assert_same_batch(envs.step(np.zeros(4, np.int64)), oracle.step([0] * 4))
    assert min(worker.planned_restarts for worker in envs.stats().workers) >= 1
