# SPDX-License-Identifier: MIT
"""Vector envs in workers, sent and received by themselves, in parts and in rollouts."""

from __future__ import annotations

import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import SyncVectorEnv

import envring
from envring.testing import SpaceEnv
from envring.testing.compare import assert_same_batch
from foreign.test_relay import HERE as WITHOUT_LIBRARY
from support.vector_envs import PLAIN, counting, divided, running, several

FOREIGN = envring.Python(sys.executable)
PLACES = {
    "local": {"num_workers": 2},
    "reference": {"num_workers": 1, "step_loop": "reference"},
    "inline": {"num_workers": 0},
    "caller steps": {"num_workers": 1, "caller_steps": True},
}
KINDS = Dict(box=Box(-1, 1, (2, 3), np.float32), text=gym.spaces.Text(8))
ACTIONS = Dict(x=Discrete(5), y=Box(-1, 1, (2,), np.float32))


@pytest.mark.parametrize(
    "place", ["local", "reference", "inline", "caller steps", "foreign", "mixed"]
)
def test_send_and_receive(place):
    sizes, mode = [2, 2, 2, 2], "SameStep"
    fns, kwargs = counting(8), {}
    env_fns = divided(fns, sizes, mode)
    if place in ("foreign", "mixed"):
        other = FOREIGN if place == "foreign" else WITHOUT_LIBRARY
        env_fns = [
            envring.EnvSource(PLAIN, kwargs={"count": 2, "mode": mode}, launcher=launcher)
            for launcher in (FOREIGN, FOREIGN, other, other)
        ]
        kwargs = {"num_workers": 2}
    else:
        kwargs = PLACES[place]
    alone = [several(fns[2 * n : 2 * n + 2], mode) for n in range(4)]
    rng = np.random.default_rng(2)
    with running(env_fns, autoreset_mode=mode, batch_size=4, **kwargs) as envs:
        envs.async_reset(seed=3)
        told = {}
        for n, env in enumerate(alone):
            observations, infos = env.reset(seed=3 + 2 * n)
            told[n] = (observations, np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), infos)
        for _ in range(20):
            observations, rewards, terminations, truncations, infos = envs.recv(timeout=60)
            env_ids = infos.pop("env_id")
            numbers = env_ids[::2] // 2
            assert env_ids.tolist() == [i for n in numbers for i in (2 * n, 2 * n + 1)]
            parts = [told[n] for n in numbers]
            for at, value in enumerate((observations, rewards, terminations, truncations)):
                assert_same_batch(value, np.concatenate([part[at] for part in parts]))
            for row, key in ((r, k) for r in range(4) for k in ("t", "round", "final_obs")):
                n, i = numbers[row // 2], row % 2
                one = told[n][4]
                there = key in one and one[f"_{key}"][i]
                assert (key in infos and bool(infos[f"_{key}"][row])) == there, (key, row)
                if there:
                    assert np.array_equal(infos[key][row], one[key][i])
            order = rng.permutation(4)
            actions = rng.integers(0, 8, 4)
            envs.send(actions[order], env_ids[order])
            for n, action in zip(numbers, actions.reshape(2, 2), strict=True):
                told[n] = alone[n].step(action)
        with pytest.raises(ValueError, match=r"envs 0, 1 are one vector env"):
            envs.send(np.zeros(1, int), [0])
        with pytest.raises(ValueError, match="min_envs is 3"):
            envs.recv(3)
        envs.recv(8)
        envs.step(np.zeros(8, int))


def test_send_of_every_kind_of_value():
    fns = [partial(SpaceEnv, KINDS, ACTIONS, index=i, infos="steady") for i in range(4)]
    oracle = SyncVectorEnv(fns)
    with running(divided(fns, [2, 2], "NextStep"), num_workers=2) as envs:
        envs.async_reset(seed=5)
        got = envs.recv()
        expected = oracle.reset(seed=5)
        got[4].pop("env_id")
        assert_same_batch((got[0], got[4]), expected)
        oracle.action_space.seed(1)
        for _ in range(5):
            actions = oracle.action_space.sample()
            envs.send(actions)
            got = envs.recv()
            got[4].pop("env_id")
            assert_same_batch(got, oracle.step(actions))


def test_only_whole_ones_at_a_time():
    fns = counting(4)
    with pytest.raises(ValueError, match="batch_size is 3"):
        envring.RingVectorEnv(divided(fns, [2, 2], "NextStep"), num_workers=2, batch_size=3)
    with running(divided(fns, [1, 3], "NextStep"), num_workers=2) as envs:
        envs.async_reset()
        with pytest.raises(ValueError, match="vector envs of the same one"):
            envs.recv(3)
        envs.recv()
    with pytest.raises(ValueError, match="options_per_env"):
        envring.RingVectorEnv(divided(fns, [4], "NextStep"), num_workers=1, options_per_env=True)


def test_parts_are_of_whole_ones():
    fns = counting(8)
    with running(divided(fns, [2] * 4, "NextStep"), num_workers=2) as envs:
        with pytest.raises(ValueError, match="cannot be split into 5 parts"):
            envs.split(5)
        first, second = envs.split(2)
        assert first.env_ids.tolist() == [0, 1, 4, 5]
        oracle = several([fns[i] for i in first.env_ids])
        second.reset(seed=9)
        assert_same_batch(first.reset(seed=1), oracle.reset(seed=1))
        for _ in range(5):
            second.step_async(np.zeros(4, int))
            assert_same_batch(first.step(np.ones(4, int)), oracle.step(np.ones(4, int)))
            second.step_wait()


def test_rollout():
    fns, mode = counting(4), "SameStep"
    oracle = several(fns, mode)
    with running(divided(fns, [2, 2], mode), autoreset_mode=mode, num_workers=2, slots=6) as envs:
        rollout = envs.rollout()
        first, _ = rollout.reset(seed=1)
        expected = [oracle.reset(seed=1)[0]]
        assert_same_batch(np.array(first), expected[0])
        finals = []
        for t in range(5):
            rollout.step(np.full(4, t))
            observations, _, terminations, _, infos = oracle.step(np.full(4, t))
            expected.append(observations)
            finals += [infos["final_obs"][i] for i in np.flatnonzero(terminations)]
        assert_same_batch(np.array(rollout.observations), np.stack(expected[:-1]))
        assert_same_batch(np.array(rollout.final_obs.observations), np.stack(finals))
