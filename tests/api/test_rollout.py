# SPDX-License-Identifier: MIT
"""Rollouts: what a buffer that copies every step would hold."""

from __future__ import annotations

import contextlib
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text, Tuple
from gymnasium.vector import SyncVectorEnv

import envring
from envring.testing import CountingEnv, SpaceEnv, assert_same_batch
from foreign.home import Home, plain
from foreign.test_relay import WithoutLibrary

PLACES = {
    "local": {"num_workers": 2},
    "reference": {"num_workers": 2, "step_loop": "reference"},
    "inline": {"num_workers": 0},
    "caller steps": {"num_workers": 1, "caller_steps": True},
    "foreign": {"num_workers": 2, "launcher": envring.Python(sys.executable)},
    "mixed": {"num_workers": 3, "launcher": envring.Python(sys.executable)},
    "relayed": {"num_workers": 2, "launcher": WithoutLibrary(sys.executable)},
}
KINDS = [
    {"index": i, "lengths": lengths, "ending": "both", "infos": "steady"}
    for i, lengths in enumerate([(3, 1), (2,), (5, 4), (1,), (7, 2), (4,)])
]


@contextlib.contextmanager
def running(env_fns, **kwargs):
    envs = envring.RingVectorEnv(env_fns, **kwargs)
    try:
        yield envs
    finally:
        envs.close()


def stacked(batches):
    """Batches over time, in the structure of their space."""
    if isinstance(batches[0], dict):
        return {key: stacked([batch[key] for batch in batches]) for key in batches[0]}
    if isinstance(batches[0], tuple):
        return tuple(stacked(list(parts)) for parts in zip(*batches, strict=True))
    return np.stack([np.array(batch) for batch in batches])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_it_is_what_a_buffer_would_hold(place, mode):
    fns = [partial(Home, "Plain", **kind) for kind in KINDS]
    sources = fns
    if "launcher" in PLACES[place]:
        sources = [plain(**kind) for kind in KINDS]
    if place == "mixed":
        here = envring.Python(sys.executable, sandbox=False)
        sources[4:] = [
            envring.EnvSource(s.env, kwargs=s.kwargs, launcher=here) for s in sources[4:]
        ]
    oracle = SyncVectorEnv(fns, autoreset_mode=mode)
    random = np.random.default_rng(3)
    steps = 1 if mode == "Disabled" else 5
    with running(sources, autoreset_mode=mode, slots=steps + 1, **PLACES[place]) as envs:
        rollout = envs.rollout()
        assert rollout.num_steps == steps
        first = oracle.reset(seed=4)
        assert_same_batch(rollout.reset(seed=4), first)
        observation = first[0]
        for _ in range(4):
            kept = {"observations": [], "actions": [], "rewards": [], "ends": [], "cuts": []}
            finals = []
            for t in range(steps):
                actions = random.integers(0, 8, 6)
                expected = oracle.step(actions)
                assert_same_batch(rollout.step(actions), expected)
                kept["observations"].append(stacked([observation]))
                kept["actions"].append(actions)
                observation = expected[0]
                for name, value in zip(("rewards", "ends", "cuts"), expected[1:4], strict=True):
                    kept[name].append(value)
                for i in np.flatnonzero(expected[2] | expected[3]):
                    final = expected[4]["final_obs"][i] if mode == "SameStep" else None
                    row = final if final is not None else of_env(expected[0], i)
                    finals.append((t, i, stacked([row])))
                kept["observations"][-1] = copied(kept["observations"][-1])
            assert rollout.full
            want = stacked([without_time(each) for each in kept["observations"]])
            assert_same_batch(plainly(rollout.observations), plainly(want))
            assert_same_batch(rollout.actions, np.stack(kept["actions"]))
            assert_same_batch(np.array(rollout.rewards), np.stack(kept["rewards"]))
            assert_same_batch(np.array(rollout.terminations), np.stack(kept["ends"]))
            assert_same_batch(np.array(rollout.truncations), np.stack(kept["cuts"]))
            assert_same_batch(plainly(rollout.last_observations), plainly(observation))
            found = rollout.final_obs
            assert found.steps.tolist() == [t for t, _, _ in finals]
            assert found.env_ids.tolist() == [i for _, i, _ in finals]
            for row, (_, _, final) in enumerate(finals):
                assert_same_batch(
                    plainly(of_env(found.observations, row)), plainly(of_env(final, 0))
                )
            if mode == "Disabled":
                mask = np.array([True] * 6)
                first = oracle.reset(seed=9, options={"reset_mask": mask})
                assert_same_batch(rollout.reset(seed=9), first)
                observation = first[0]


def of_env(value, i):
    if isinstance(value, dict):
        return {key: of_env(each, i) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(of_env(each, i) for each in value)
    return value[i]


def without_time(value):
    return of_env(value, 0)


def copied(value):
    return stacked([without_time(value)])


def plainly(value):
    if isinstance(value, dict):
        return {key: plainly(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(plainly(each) for each in value)
    return np.ascontiguousarray(value)


def test_steps_that_reset_are_not_valid():
    with running([partial(CountingEnv, lengths=[2])] * 2, num_workers=1, slots=7) as envs:
        rollout = envs.rollout()
        rollout.reset(seed=0)
        for _ in range(6):
            rollout.step([0, 0])
        assert rollout.valid[:, 0].tolist() == [True, True, False, True, True, False]
        rollout.step([0, 0])
        assert rollout.valid[0].tolist() == [True, True]


def test_nothing_is_copied():
    space = Box(0, 255, (84, 84, 4), np.uint8)
    with running([partial(SpaceEnv, space, Discrete(2))] * 4, num_workers=2, slots=4) as envs:
        rollout = envs.rollout()
        first, _ = rollout.reset(seed=0)
        observations = rollout.observations
        assert np.shares_memory(first, observations)
        for t in range(3):
            latest, rewards, *_ = rollout.step(np.zeros(4, np.int64))
            assert np.shares_memory(rewards, rollout.rewards)
            if t < 2:
                assert np.shares_memory(latest, observations)
        assert np.shares_memory(latest, rollout.last_observations)
        assert observations.shape == (3, 4, 84, 84, 4)
        assert not first.flags.owndata
        assert np.shares_memory(np.from_dlpack(observations), first)


def test_arrays_over_time_have_no_gaps():
    """So they can be flattened, or given to DLPack's consumers, without a copy."""
    space = Dict({"a": Box(-1, 1, (3,), np.float32), "b": Discrete(5), "c": Box(0, 9, (2, 2), int)})
    with running([partial(SpaceEnv, space, Discrete(2))] * 5, num_workers=2, slots=4) as envs:
        rollout = envs.rollout()
        rollout.reset(seed=0)
        kept = [rollout.step(np.zeros(5, np.int64))[0] for _ in range(3)]
        for array in (*rollout.observations.values(), rollout.rewards, rollout.truncations):
            assert array.flags.c_contiguous
            assert np.shares_memory(array, array.reshape(15, -1))
        for t in (0, 1):
            for key, array in rollout.observations.items():
                np.testing.assert_array_equal(array[t + 1], kept[t][key])


class Pictures(gym.Env):
    """Each picture is the one before plus 1, and begins with the seed."""

    action_space = Discrete(2)

    def __init__(self, shape):
        self.observation_space = Box(0, 255, shape, np.uint8)
        self._first = (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)

    def reset(self, *, seed=None, options=None):
        self._at = seed
        return self.picture(seed), {}

    def step(self, action):
        self._at += 1
        return self.picture(self._at), 0.0, False, False, {}

    def picture(self, at):
        return self._first + np.uint8(at % 256)


@pytest.mark.parametrize("shape", [(84, 84, 5), (211, 160, 3)])
def test_rollouts_that_are_too_large_for_caches(shape):
    """Which are stored in another way."""
    steps = (40 << 20) // (3 * int(np.prod(shape)))
    own = Pictures(shape)
    with running([partial(Pictures, shape)] * 3, num_workers=2, slots=steps + 1) as envs:
        rollout = envs.rollout()
        rollout.reset(seed=5)
        for _ in range(steps + 2):
            latest, *_ = rollout.step(np.zeros(3, np.int64))
        for i in range(3):
            for t in range(3):
                expected = own.picture(5 + i + steps + t)
                np.testing.assert_array_equal(rollout.observations[t, i], expected)
            for t in range(3, steps):
                np.testing.assert_array_equal(rollout.observations[t, i], own.picture(5 + i + t))
        np.testing.assert_array_equal(latest[2], expected)


PARTS = Tuple([Discrete(3), Box(-1, 1, (2,), np.float32)])


@pytest.mark.parametrize(
    "space", [PARTS, Dict(a=Discrete(3), b=PARTS)], ids=["a tuple", "tuples in a dict"]
)
def test_actions_of_several_parts_are_copied(space):
    """A policy may write all of its actions into the same arrays."""
    with running([partial(SpaceEnv, Discrete(5), space)] * 2, num_workers=1, slots=4) as envs:
        rollout = envs.rollout()
        rollout.reset(seed=0)
        numbers, vectors = np.zeros(2, np.int64), np.zeros((2, 2), np.float32)
        actions = (numbers, vectors) if space is PARTS else {"a": numbers, "b": (numbers, vectors)}
        for t in range(3):
            numbers[:], vectors[:] = t, t / 4
            rollout.step(actions)
        for t in range(3):
            parts = (np.full(2, t), np.full((2, 2), t / 4, np.float32))
            expected = parts if space is PARTS else {"a": parts[0], "b": parts}
            assert_same_batch(rollout.actions[t], expected)


def test_actions_are_kept_in_the_shape_of_the_space():
    """Whatever shape the vector env takes them in."""
    env = partial(SpaceEnv, Discrete(5), Discrete(9))
    with running([env] * 2, num_workers=1, slots=5) as envs:
        rollout = envs.rollout()
        rollout.reset(seed=0)
        for actions in (np.array([[1], [2]]), [1, 2], (np.int64(1), 2), [np.array([1]), [2]]):
            rollout.step(actions)
        assert rollout.actions.tolist() == [[1, 2]] * 4


def test_wrong_use():
    with (
        running([CountingEnv] * 2, num_workers=1) as envs,
        pytest.raises(ValueError, match="slots"),
    ):
        envs.rollout()
    with running([CountingEnv] * 2, num_workers=1, slots=4) as envs:
        with pytest.raises(ValueError, match="room for 1 to 3 steps"):
            envs.rollout(4)
        rollout = envs.rollout(2)
        assert rollout.num_steps == 2
        with pytest.raises(envring.EnvringError, match="Begin a rollout"):
            rollout.step([0, 0])
        with pytest.raises(envring.EnvringError, match="a rollout of these envs already"):
            envs.rollout(1)
        rollout.reset(seed=0)
        with pytest.raises(envring.ActionError):
            rollout.step([0])
        envs.step_async([0, 0])
        with pytest.raises(gym.error.AlreadyPendingCallError):
            rollout.step([0, 0])
        envs.step_wait()
        with pytest.raises(ValueError, match="no reset_mask"):
            rollout.reset(options={"reset_mask": np.ones(2, bool)})
    with pytest.raises(gym.error.ClosedEnvironmentError):
        rollout.step([0, 0])
    with (
        running([partial(SpaceEnv, Text(3), Discrete(2))], num_workers=1, slots=4) as envs,
        pytest.raises(envring.EnvringError, match="no fixed size"),
    ):
        envs.rollout()
