# SPDX-License-Identifier: MIT
"""Parts of a vector env: each is what SyncVectorEnv would be of its envs."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError
from gymnasium.vector import SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import envring
from envring.api.parts import divide
from envring.testing import CountingEnv, GatedEnv, assert_same_batch
from envring.testing.conformance_base import quiet
from foreign.home import Home, plain

PLACES = {
    "local": {"num_workers": 2},
    "inline": {"num_workers": 0},
    "foreign": {"num_workers": 2, "launcher": envring.Python(sys.executable)},
}
KINDS = [
    {"index": i, "lengths": lengths, "ending": "both", "infos": "churn"}
    for i, lengths in enumerate([(3, 1), (2,), (5, 4), (1,), (7, 2), (4,)])
]


@contextlib.contextmanager
def split(env_fns, count=2, **kwargs):
    envs = envring.RingVectorEnv(env_fns, **kwargs)
    try:
        yield envs, envs.split(count)
    finally:
        envs.close()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_each_part_is_a_vector_env(place, mode):
    fns = [partial(Home, "Plain", **kind) for kind in KINDS]
    sources = [plain(**kind) for kind in KINDS] if "launcher" in PLACES[place] else fns
    with split(sources, autoreset_mode=mode, **PLACES[place]) as (envs, parts):
        oracles = []
        for part in parts:
            assert isinstance(part, VectorEnv)
            oracles.append(SyncVectorEnv([fns[i] for i in part.env_ids], autoreset_mode=mode))
            assert part.num_envs == 3
            assert part.observation_space == oracles[-1].observation_space
            assert part.action_space == oracles[-1].action_space
            assert part.metadata["autoreset_mode"] == oracles[-1].metadata["autoreset_mode"]
            assert_same_batch(part.reset(seed=5), oracles[-1].reset(seed=5))
        random = np.random.default_rng(1)
        actions = random.integers(0, 8, (41, 2, 3))
        parts[0].step_async(actions[0, 0])
        for now, following in itertools.pairwise(actions):
            parts[1].step_async(now[1])
            assert_same_batch(parts[0].step_wait(), oracles[0].step(now[0]))
            parts[0].step_async(following[0])
            assert_same_batch(parts[1].step_wait(), oracles[1].step(now[1]))
        assert_same_batch(parts[0].step_wait(), oracles[0].step(actions[-1, 0]))
        assert_same_batch(parts[1].reset(seed=[3, None, 4]), oracles[1].reset(seed=[3, None, 4]))
        for part, oracle in zip(parts, oracles, strict=True):
            assert part.get_attr("index") == oracle.get_attr("index")
            part.set_attr("mark", [1, 2, 3])
            assert part.get_attr("mark") == (1, 2, 3)
            assert part.call("has_wrapper_attr", "mark") == (True,) * 3
        # and the whole again
        envs.reset(seed=0)
        envs.step(np.zeros(6, np.int64))


def test_wrappers_take_parts():
    with split([partial(CountingEnv, lengths=[3])] * 4, num_workers=2) as (_, parts):
        first, second = (RecordEpisodeStatistics(part) for part in parts)
        first.reset(seed=1)
        second.reset(seed=2)
        ended = 0
        for _ in range(8):
            for part in (first, second):
                *_, infos = part.step(np.zeros(2, np.int64))
                ended += "episode" in infos
        assert ended


def test_shares_are_even():
    assert [part.tolist() for part in divide([(0, 4), (4, 8)], 2)] == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert [part.tolist() for part in divide([(0, 3), (3, 6)], 2)] == [[0, 1, 3], [2, 4, 5]]
    assert [part.tolist() for part in divide([(0, 1), (1, 2), (2, 3)], 3)] == [[0], [1], [2]]
    assert [len(part) for part in divide([(0, 7)], 3)] == [3, 2, 2]
    with pytest.raises(ValueError, match="3 envs cannot be split into 4 parts"):
        divide([(0, 3)], 4)


def test_wrong_use():
    with split([CountingEnv] * 4, num_workers=2) as (envs, (first, second)):
        with pytest.raises(NoAsyncCallError):
            first.step_wait()
        first.reset(seed=0)
        second.reset(seed=0)
        with pytest.raises(envring.EnvringError, match="split already"):
            envs.split(2)
        first.step_async(np.zeros(2, np.int64))
        with pytest.raises(AlreadyPendingCallError, match="pending call to `step`"):
            first.step_async(np.zeros(2, np.int64))
        with pytest.raises(AlreadyPendingCallError, match="pending call to `step`"):
            first.reset()
        with pytest.raises(NoAsyncCallError):
            first.reset_wait()
        with pytest.raises(AlreadyPendingCallError, match="envs 0, 2 were sent"):
            envs.step(np.zeros(4, np.int64))
        with pytest.raises(AlreadyPendingCallError, match="envs 0, 2 were sent"):
            second.call("render")
        with pytest.raises(AlreadyPendingCallError, match="env 0, which"):
            envs.send(np.zeros(1, np.int64), [0])
        with pytest.raises(envring.ActionError, match="env 3 would get none"):
            second.step_async(np.zeros(1, np.int64))
        first.step_wait()
        first.close()
        with pytest.raises(ClosedEnvironmentError):
            first.step(np.zeros(2, np.int64))
        assert not envs.closed
        with pytest.raises(envring.EnvringError, match="split already"):
            envs.split(2)
        second.step(np.zeros(2, np.int64))
        second.close()
        assert envs.closed
        with pytest.raises(ClosedEnvironmentError):
            envs.split(2)


def test_a_split_that_is_refused_changes_nothing():
    envs = envring.RingVectorEnv([CountingEnv] * 2, num_workers=1)
    with pytest.raises(ValueError, match="cannot be split into 3"):
        envs.split(3)
    first, second = envs.split(2)
    first.close()
    second.close()
    assert envs.closed


def test_a_timeout_loses_nothing(tmp_path):
    gate = str(tmp_path / "gate")
    fns = [partial(GatedEnv, gate=gate, where="step", at=0), CountingEnv]
    with split(fns, num_workers=2) as (_, (first, second)):
        first.reset(seed=0)
        second.reset(seed=0)
        first.step_async(np.zeros(1, np.int64))
        with pytest.raises(multiprocessing.TimeoutError):
            first.step_wait(timeout=0.05)
        second.step(np.zeros(1, np.int64))
        open(gate, "w").close()
        assert len(first.step_wait(timeout=30)[1]) == 1


class Quick(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}


def test_results_that_come_while_they_are_counted():
    with split([Quick] * 16, num_workers=2) as (_, (first, second)):
        first.reset(seed=0)
        second.reset(seed=0)
        for _ in range(3000):
            first.step_async(np.zeros(8, np.int64))
            second.step_async(np.zeros(8, np.int64))
            first.step_wait(timeout=10)
            second.step_wait(timeout=10)


class Raising(CountingEnv):
    def step(self, action):
        if action == 3:
            raise KeyError("no such level")
        return super().step(action)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_of_an_env_ends_nothing(workers):
    with split([Raising] * 4, num_workers=workers) as (_, (first, second)):
        first.reset(seed=0)
        second.reset(seed=0)
        second.step_async(np.zeros(2, np.int64))
        with quiet(), pytest.raises(KeyError, match="no such level"):
            first.step(np.array([3, 0]))
        first.step(np.zeros(2, np.int64))
        second.step_wait()


def test_other_envs_need_their_reset():
    with split([lambda: gym.make("CartPole-v1")] * 2, num_workers=1) as (_, (first, second)):
        first.reset(seed=0)
        first.step(np.zeros(1, np.int64))
        second.reset(seed=0)
        second.step(np.zeros(1, np.int64))
