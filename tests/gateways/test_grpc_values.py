# SPDX-License-Identifier: MIT
"""`remotes="grpc://..."` of a host of ours: values at their edges, and what is refused."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import envring
from envring.errors import RemoteEnvError, SpaceDataError
from envring.testing.conformance_base import quiet
from support.hosts import running_setup
from support.wire_envs import echo_space

pytest.importorskip("grpc", reason="the wire stays unchecked")

COUNTING = "Counting-v0"


@pytest.fixture(scope="module")
def host():
    with running_setup("grpc://127.0.0.1:0") as host:
        yield host


def test_an_action_that_is_refused_changes_nothing(host):
    env = envring.make(COUNTING, remotes=host.url)
    for episode in (1, 2):
        env.reset()
        for number in (1, 2):
            with quiet(), pytest.raises(RemoteEnvError, match="out of its bounds"):
                env.step(7)
            assert env.step(1)[0].tolist() == [0, episode, number, 1]
    env.close()


@pytest.mark.parametrize("name", ["Failing-v0", "Passing-v0"])
def test_an_episode_in_which_the_env_raised_is_over(host, name):
    env = envring.make(name, remotes=host.url)
    env.reset()
    for text in ("broken|does not fit", "call reset first"):
        with quiet(), pytest.raises(RemoteEnvError, match=text):
            env.step(1)
    assert env.reset()[0][1] == 2
    env.close()


def test_bounds_of_a_box_are_the_business_of_the_env(host):
    env, local = envring.make("Pendulum-v1", remotes=host.url), gymnasium.make("Pendulum-v1")
    np.testing.assert_array_equal(env.reset(seed=3)[0], local.reset(seed=3)[0])
    for force in (2.5, -100.0, 1.0):  # Pendulum clips them to 2
        found, expected = (each.step(np.array([force], np.float32)) for each in (env, local))
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1:4] == expected[1:4]
    env.close()


@pytest.mark.parametrize(
    "kind",
    [
        "int64_wide",
        *(pytest.param(each, marks=pytest.mark.wide) for each in ("int8", "uint32")),
        pytest.param("discrete_start", marks=pytest.mark.wide),
    ],
)
def test_integers_are_exact(host, kind):
    env = envring.make("Echo-v0", remotes=host.url, kind=kind)
    assert env.observation_space == echo_space(kind)
    env.reset()
    edges = [(env.action_space.low, env.action_space.high)] if "int" in kind else [(-1, 1)]
    for action in edges[0]:
        seen, reward, *_ = env.step(action)
        np.testing.assert_array_equal(seen, action)
        assert reward == 1
    env.close()


def test_keys_of_infos(host):
    env = envring.make("Keys-v0", remotes=host.url)
    env.reset()
    info = {"(1, 2)": "tuple", "b'y'": 1, "3": "int", "array": [0, 1]}
    assert env.step(1)[4] == {**info, "deep": [{"b'x'": 0.5}]}
    env.close()


@pytest.mark.parametrize("seed", [2**63, 2**64])
def test_a_seed_that_the_wire_has_not(host, seed):
    env = envring.make(COUNTING, remotes=host.url)
    with quiet(), pytest.raises(SpaceDataError, match=f"seed {seed} cannot be sent"):
        env.reset(seed=seed)
    assert env.reset(seed=2**63 - 1)[1]["seed"] == 2**63 - 1
    env.close()
