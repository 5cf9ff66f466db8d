# SPDX-License-Identifier: MIT
"""The names, signatures and classes that users rely on; making vector environments by id."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

import envring
from envring import RingVectorEnv, errors
from envring.testing import CountingEnv, SpaceEnv, assert_same_batch, example_spaces
from envring.testing.conformance_base import quiet

NAMES = {
    "RingVectorEnv",
    "RingEnv",
    "make",
    "make_vec",
    "EnvringError",
    "WorkerDied",
    "LaunchError",
    "WorkerTimeout",
    "ObservationError",
    "ActionError",
    "ConcurrentCallError",
    "RemoteEnvError",
    "LayoutMismatch",
    "InfoError",
    "__version__",
}
BASES = {
    "WorkerDied": (RuntimeError,),
    "LaunchError": (RuntimeError,),
    "WorkerTimeout": (TimeoutError,),
    "ObservationError": (ValueError, TypeError),
    "ActionError": (ValueError, TypeError),
    "ConcurrentCallError": (RuntimeError,),
    "RemoteEnvError": (RuntimeError,),
    "LayoutMismatch": (RuntimeError,),
    "InfoError": (ValueError,),
}
KEYWORDS = {
    "num_workers": None,
    "spin": None,
    "pin": False,
    "slots": None,
    "worker_env": None,
    "final_observation": False,
    "step_loop": "compiled",
    "start_timeout": None,
    "launcher": None,
}


def test_names() -> None:
    assert set(envring.__all__) >= NAMES
    assert len(envring.__all__) == len(set(envring.__all__))
    for name in envring.__all__:
        assert hasattr(envring, name)
        thing = getattr(envring, name)
        assert not inspect.isclass(thing) or thing.__doc__
    assert envring.__version__ == "0.1.0"


def test_typed() -> None:
    assert Path(envring.__file__).with_name("py.typed").exists()


@pytest.mark.parametrize("name", BASES)
def test_error_classes(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.EnvringError)
    assert issubclass(errors.EnvringError, Exception)
    for base in BASES[name]:
        assert issubclass(kind, base)


def test_worker_died_pickles() -> None:
    error = errors.WorkerDied((1, 2), 99, None, 9, "the end")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.env_ids, again.pid, again.exitcode, again.signal, again.stderr_tail) == (
        (1, 2),
        99,
        None,
        9,
        "the end",
    )


# ours are those of the newest
same_signatures = pytest.mark.skipif(
    "max_concurrency" not in inspect.signature(AsyncVectorEnv).parameters,
    reason="Gymnasium before 1.4 has other signatures: ours stay uncompared",
)


@same_signatures
def test_constructor() -> None:
    theirs = list(inspect.signature(AsyncVectorEnv).parameters.values())
    ours = list(inspect.signature(RingVectorEnv).parameters.values())
    for mine, other in zip(ours, theirs, strict=False):
        assert (mine.name, mine.kind, mine.default) == (other.name, other.kind, other.default)
    assert {mine.name: mine.default for mine in ours[len(theirs) :]} == KEYWORDS
    assert all(mine.kind is mine.KEYWORD_ONLY for mine in ours[len(theirs) :])


@same_signatures
@pytest.mark.parametrize(
    "name",
    [name for name in vars(AsyncVectorEnv) if not name.startswith("_")],
)
def test_methods_take_what_asyncvectorenvs_take(name: str) -> None:
    theirs = inspect.getattr_static(AsyncVectorEnv, name)
    ours = inspect.getattr_static(RingVectorEnv, name)
    assert type(ours) is type(theirs)
    if not callable(theirs):
        return
    mine, other = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    assert list(mine) == list(other)
    for parameter in other:
        assert mine[parameter].default == other[parameter].default
        assert mine[parameter].kind == other[parameter].kind


def test_importing_starts_nothing_and_needs_no_tools() -> None:
    """No process, no thread, no test or plotting package."""
    script = (
        "import sys, threading, multiprocessing, envring;"
        "print(threading.active_count(), len(multiprocessing.active_children()),"
        " [m for m in ('pytest', 'hypothesis', 'matplotlib', 'rich', 'envring.testing', 'pygame',"
        " 'torch') if m in sys.modules])"
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


# -- make_vec


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


# -- one environment


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
