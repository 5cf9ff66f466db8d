# SPDX-License-Identifier: MIT
"""Importing the package starts nothing; vector environments made by id."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import envring
from envring import RingVectorEnv
from envring.testing import CountingEnv, assert_same_batch
from envring.testing.conformance_base import quiet


def test_importing_starts_nothing_and_needs_no_tools() -> None:
    """No process, no thread, no package of an extra, nothing of hosts' that takes time."""
    script = (
        "import sys, threading, multiprocessing, envring;"
        "print(threading.active_count(), len(multiprocessing.active_children()),"
        " [m for m in ('pytest', 'hypothesis', 'matplotlib', 'rich', 'envring.testing', 'pygame',"
        " 'torch', 'ssl', 'http', 'tomllib', 'cryptography', 'zstandard', 'click', 'yaml', 'ray',"
        " 'asyncio') if m in sys.modules])"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.strip() == "1 0 []"
    assert done.stderr == ""


def test_subclass_and_type_arguments() -> None:
    class Mine(RingVectorEnv[Any, Any]):
        pass

    envs = Mine([CountingEnv] * 2, num_workers=0)
    assert repr(envs) == "Mine(num_envs=2)"
    envs.close()


def test_make_vec() -> None:
    envs = envring.make_vec("CartPole-v1", num_envs=3, num_workers=2)
    oracle = gymnasium.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    try:
        assert isinstance(envs, RingVectorEnv)
        assert repr(envs) == "RingVectorEnv(CartPole-v1, num_envs=3)"
        assert envs.num_workers == 2
        assert envs.spec is not None
        assert envs.spec.id == "CartPole-v1"
        assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
        for number in range(40):
            actions = np.array([number % 2, 0, 1])
            assert_same_batch(envs.step(actions), oracle.step(actions))
    finally:
        envs.close()
        oracle.close()


def test_make_vec_of_a_spec() -> None:
    envs = envring.make_vec(gymnasium.spec("CartPole-v1"), num_envs=2, num_workers=0)
    assert envs.spec is not None
    assert envs.num_envs == 2
    envs.close()


def test_make_vec_options() -> None:
    """Options of the vector environment as keywords or in vector_kwargs; the rest is the env's."""
    envs = envring.make_vec(
        "CartPole-v1",
        num_envs=2,
        vector_kwargs={"copy": False},
        num_workers=1,
        autoreset_mode="SameStep",
        render_mode="rgb_array",
        max_episode_steps=7,
    )
    try:
        assert envs.copy is False
        assert envs.autoreset_mode is AutoresetMode.SAME_STEP
        assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        assert envs.render_mode == "rgb_array"
        envs.reset(seed=0)
        batches = [envs.step([number % 2] * 2) for number in range(7)]
        assert [bool(batch[3][0]) for batch in batches] == [False] * 6 + [True]
    finally:
        envs.close()


def test_make_vec_wrappers() -> None:
    """Wrappers go around each environment."""
    envs = envring.make_vec(
        "CartPole-v1",
        num_envs=2,
        num_workers=0,
        wrappers=[gymnasium.wrappers.TimeAwareObservation],
    )
    oracle = gymnasium.make_vec(
        "CartPole-v1",
        num_envs=2,
        vectorization_mode="sync",
        wrappers=[gymnasium.wrappers.TimeAwareObservation],
    )
    assert envs.observation_space == oracle.observation_space
    assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
    envs.close()
    oracle.close()


def test_make_vec_of_an_unknown_id() -> None:
    with pytest.raises(gymnasium.error.Error):
        envring.make_vec("NoSuchThing-v9", num_envs=2)


def test_gymnasium_make_vec() -> None:
    """Gymnasium's own function makes ours where it is given our id."""
    with quiet():
        envs = gymnasium.make_vec("envring:envring/CartPole-v1", num_envs=4)
    oracle = gymnasium.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync")
    try:
        assert isinstance(envs.unwrapped, RingVectorEnv)
        assert envs.num_envs == 4
        assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))
    finally:
        envs.close()
        oracle.close()


def test_in_place_of_asyncvectorenv(monkeypatch: pytest.MonkeyPatch) -> None:
    """gymnasium.make_vec looks the class up when called."""
    monkeypatch.setattr(gymnasium.vector, "AsyncVectorEnv", RingVectorEnv)
    envs = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="async")
    assert isinstance(envs, RingVectorEnv)
    assert envs.spec is not None
    envs.reset(seed=0)
    envs.close()


def test_specs_of_registered_ids_keep_us() -> None:
    """A spec makes the same again, as JSON, too."""
    envs = gymnasium.make_vec("envring/CartPole-v1", num_envs=2)
    spec = envs.spec
    envs.close()
    assert spec is not None
    for each in (spec, gymnasium.envs.registration.EnvSpec.from_json(spec.to_json())):
        again = gymnasium.make_vec(each)
        assert isinstance(again, RingVectorEnv)
        assert again.num_envs == 2
        again.close()
    with gymnasium.make("envring/CartPole-v1") as env:
        assert isinstance(env.unwrapped, envring.RingEnv)
        assert env.spec is not None
        assert env.spec.to_json()


def test_specs_of_make_vec_keep_us() -> None:
    """With what is plain of its options, as JSON, too, and for our own make_vec."""
    envs = envring.make_vec("CartPole-v1", num_envs=2, num_workers=0, sutton_barto_reward=True)
    spec = envs.spec
    envs.close()
    assert spec is not None and spec.id == "CartPole-v1"
    for each in (spec, gymnasium.envs.registration.EnvSpec.from_json(spec.to_json())):
        for make_vec in (gymnasium.make_vec, envring.make_vec):
            again = make_vec(each)
            assert isinstance(again, RingVectorEnv)
            assert (again.num_envs, again.num_workers) == (2, 0)
            assert again.call("get_wrapper_attr", "_sutton_barto_reward") == (True, True)
            assert again.spec is not None
            limit = {"max_episode_steps": 500}  # Gymnasium adds it
            assert again.spec.kwargs | limit == spec.kwargs | limit
            again.close()
    more = envring.make_vec(spec, vector_kwargs={"num_workers": 1}, copy=False)
    assert (more.num_envs, more.num_workers, more.copy) == (2, 1, False)
    more.close()


def test_ids_with_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = dict(gymnasium.registry)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", registry)
    monkeypatch.setattr(gymnasium, "registry", registry)
    gymnasium.register("Some/Pole-v3", "gymnasium.envs.classic_control:CartPoleEnv")
    assert envring.register("Some/Pole-v3") == "envring/Some.Pole-v3"
    envs = gymnasium.make_vec("envring/Some.Pole-v3", num_envs=2)
    assert isinstance(envs, RingVectorEnv)
    assert envs.reset()[0].shape == (2, 4)
    envs.close()


def test_vector_env_is_a_direct_base() -> None:
    """Where skrl looks for what it has to wrap."""
    assert gymnasium.vector.VectorEnv in RingVectorEnv.__bases__


def test_with_and_len() -> None:
    with RingVectorEnv([CountingEnv] * 3, num_workers=1) as envs:
        assert len(envs) == 3
        envs.reset()
    assert envs.closed


@pytest.mark.parametrize("copy_of", [pickle.dumps, cloudpickle.dumps, copy.copy, copy.deepcopy])
def test_copies_are_refused(copy_of: Any) -> None:
    envs = RingVectorEnv([CountingEnv], num_workers=0)
    with pytest.raises(TypeError, match="RingVectorEnv cannot be copied or pickled: it holds"):
        copy_of(envs)
    envs.close()
    env = envring.RingEnv(CountingEnv)
    with pytest.raises(TypeError, match="RingEnv cannot be copied or pickled"):
        copy_of(env)
    env.close()
