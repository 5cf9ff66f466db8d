# SPDX-License-Identifier: MIT
"""Vector envs in workers: what is refused, and what goes wrong."""

from __future__ import annotations

import time
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import envring
from envring.testing import CountingEnv, DyingEnv, FailingEnv, HangingEnv, SpaceEnv
from envring.testing.conformance_base import quiet
from support.vector_envs import Telling, counting, divided, running, several


def test_modes_must_agree():
    fns = divided(counting(4), [2, 2], "SameStep")
    with pytest.raises(envring.EnvFnError) as raised:
        envring.RingVectorEnv([divided(counting(1), [1], "NextStep")[0], *fns], num_workers=2)
    text = str(raised.value)
    for part in ("env_fns[1, 2]", "envs 1-4", "SameStep", "NextStep was asked for"):
        assert part in text
    assert "autoreset_mode='SameStep' to RingVectorEnv" in text

    class Silent(Telling):
        metadata = {}  # noqa: RUF012

    with pytest.raises(envring.EnvFnError, match="no 'autoreset_mode' in their metadata"):
        envring.RingVectorEnv([lambda: Silent({})], num_workers=1)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_single_ones_beside_vector_envs(workers):
    fns = [*divided(counting(2), [2], "NextStep"), CountingEnv]
    with pytest.raises(envring.EnvFnError, match=r"vector env.* single env"):
        envring.RingVectorEnv(fns, num_workers=workers)


def test_a_vector_env_where_a_single_one_is_wanted():
    with pytest.raises(envring.EnvFnError, match="a vector env of 2 envs, where a single env"):
        envring.RingEnv(divided(counting(2), [2], "NextStep")[0])


def test_spaces_must_agree():
    with pytest.raises(envring.SpaceMismatchError, match="envs 2-4"):
        envring.RingVectorEnv(
            [
                lambda: several([CountingEnv] * 2),
                lambda: several([partial(SpaceEnv, Box(0, 1, (2,)), Discrete(8))] * 3),
            ],
            num_workers=2,
        )


def test_what_does_not_say_what_it_is():
    class Nothing(Telling):
        def __init__(self):
            super().__init__({})
            self.single_action_space = None

    with pytest.raises(TypeError, match="has no single_action_space"):
        envring.RingVectorEnv([Nothing], num_workers=1)
    with pytest.raises(TypeError, match="num_envs 0"):
        envring.RingVectorEnv([partial(Telling, {}, 0)], num_workers=1)


@pytest.mark.parametrize(
    ("index", "value", "error", "match"),
    [
        (0, np.ones((3, 3), np.float32), envring.ObservationError, r"envs 2, 3 .*shape \(3, 3\)"),
        (0, np.ones((2, 3), "U1"), envring.ObservationError, r"envs 2, 3 .*dtype"),
        (1, np.ones(3), ValueError, r"rewards of shape \(3,\)"),
        (1, np.array(["a", "b"]), ValueError, "rewards of shape .* and dtype <U1"),
        (1, 1.0, ValueError, r"rewards of shape \(\)"),
        (2, np.zeros((2, 1), bool), ValueError, "terminations of shape"),
        (3, [False], ValueError, "truncations of shape"),
    ],
)
def test_results_that_do_not_fit(index, value, error, match):
    fns = [partial(Telling, {}), partial(Telling, {}, step={index: value})]
    with running(fns, num_workers=1) as envs, quiet():
        envs.reset()
        with pytest.raises(error, match=match):
            envs.step(np.zeros(4, int))
        envs.reset()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_names_all_rows(workers):
    fns = [CountingEnv] * 3 + [partial(FailingEnv, partial(RuntimeError, "oh"), at=1)] * 1
    with running(divided(fns, [2, 2], "NextStep"), num_workers=workers) as envs:
        envs.reset()
        envs.step(np.zeros(4, int))
        with pytest.raises(RuntimeError, match="oh") as raised, quiet():
            envs.step(np.zeros(4, int))
        assert "raised by envs 2, 3" in "".join(raised.value.__notes__)
        envs.step(np.zeros(4, int))
        # and of those that are sent by themselves
        envs.send(np.zeros(4, int))
        assert envs.recv()[4]["env_id"].tolist() == [0, 1, 2, 3]


def test_a_death_names_all_rows():
    fns = [CountingEnv] * 3 + [partial(DyingEnv, "SIGKILL")]
    with running(divided(fns, [1, 3], "NextStep"), num_workers=2) as envs:
        envs.reset()
        with pytest.raises(envring.WorkerDied) as raised:
            envs.step(np.zeros(4, int))
        assert raised.value.env_ids == (1, 2, 3)


def test_one_that_hangs_is_given_up():
    fns = [CountingEnv] * 2 + [HangingEnv]
    with running(divided(fns, [1, 2], "NextStep"), num_workers=2, step_timeout=1.0) as envs:
        envs.reset()
        start = time.monotonic()
        with pytest.raises(envring.WorkerTimeout, match="envs 1, 2 did not finish"):
            envs.step(np.zeros(3, int))
        assert time.monotonic() - start < 30


def test_before_gymnasium_1_nothing_changes():
    from envring._foreign.envring_worker.envs import vectors

    class Old(gym.Env):
        pass

    assert not vectors.is_vector_env(Old())
