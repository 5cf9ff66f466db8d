# SPDX-License-Identifier: MIT
"""One environment in a worker process of its own: `envring.make` and `RingEnv`."""

from __future__ import annotations

import multiprocessing
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv, VectorEnv

import envring
from envring.testing import SpaceEnv, assert_same_batch, example_spaces
from envring.testing.conformance_base import quiet


def test_make_one() -> None:
    """An env in one worker process gives what it gives here."""
    env, oracle = envring.make("CartPole-v1"), gymnasium.make("CartPole-v1")
    try:
        assert isinstance(env, gymnasium.Env)
        assert not isinstance(env, VectorEnv)
        assert env.observation_space == oracle.observation_space
        assert env.action_space == oracle.action_space
        assert_same_batch(env.reset(seed=3), oracle.reset(seed=3))
        for number in range(30):
            actual, expected = env.step(number % 2), oracle.step(number % 2)
            assert_same_batch(actual[0], expected[0])
            assert tuple(map(float, actual[1:4])) == tuple(map(float, expected[1:4]))
            assert [type(part) for part in actual[2:4]] == [bool, bool]
            assert actual[4] == expected[4]
            if expected[2] or expected[3]:
                assert_same_batch(env.reset(), oracle.reset())
    finally:
        env.close()
        oracle.close()


def as_row(value: Any) -> Any:
    return value[()] if isinstance(value, np.ndarray) and value.shape == () else value


@pytest.mark.parametrize("name", example_spaces())
def test_one_environment_has_spaces_of_every_kind(name: str) -> None:
    """Actions reach it as they are (the reward tells), observations come as they are.

    But an array of shape () comes as the number that it holds, as rows of a batch do.
    """
    space = example_spaces()[name]
    space.seed(5)
    oracle = SpaceEnv(space, space)
    env = envring.RingEnv(lambda: SpaceEnv(space, space))
    try:
        assert_same_batch(env.reset(seed=3)[0], as_row(oracle.reset(seed=3)[0]))
        for _ in range(3):
            action = as_row(space.sample())
            actual, expected = env.step(action), oracle.step(action)
            assert_same_batch(actual[0], as_row(expected[0]))
            assert actual[1] == float(expected[1])
    finally:
        env.close()


def test_one_environment_refuses_what_is_no_action() -> None:
    space = spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Tuple([spaces.Discrete(3)])})
    env = envring.RingEnv(lambda: SpaceEnv(spaces.Discrete(2), space))
    try:
        env.reset(seed=0)
        for action in ({"a": 1}, {"a": 1, "b": (1, 2)}, {"a": 1, "b": 2}, None, [1, 2]):
            with pytest.raises(envring.ActionError, match="is not an action of"):
                env.step(action)
        env.step({"a": 1, "b": (2,)})
    finally:
        env.close()


def test_make_one_passes_the_checker() -> None:
    env = envring.make("CartPole-v1")
    with quiet():
        check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)
    env.close()


def test_one_environment_renders_and_wraps() -> None:
    env: Any = envring.make("CartPole-v1", render_mode="rgb_array")
    assert env.render_mode == "rgb_array"
    env = gymnasium.wrappers.TimeLimit(env, 3)
    env.reset(seed=0)
    assert env.render().ndim == 3
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]
    env.close()


def test_one_environment_works_in_a_vector_env() -> None:
    fns = [lambda: envring.make("CartPole-v1")] * 2
    envs = SyncVectorEnv(fns)
    oracle = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2)
    assert_same_batch(envs.reset(seed=1)[0], oracle.reset(seed=1)[0])
    assert_same_batch(envs.step([0, 1])[0], oracle.step([0, 1])[0])
    envs.close()
    oracle.close()


def test_one_environment_lives_in_a_worker() -> None:
    env = envring.make("CartPole-v1")
    children = multiprocessing.active_children()
    assert len(children) == 1
    env.close()
    assert not multiprocessing.active_children()
