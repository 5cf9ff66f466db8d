# SPDX-License-Identifier: MIT
"""The contract of a vector env, with workers in every interpreter that is installed."""

from __future__ import annotations

import multiprocessing
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError

from envring import Python, RemoteEnvError, RingEnv, RingVectorEnv, UnsendableError, WorkerDied
from envring.testing import assert_same_batch
from envring.testing.conformance_base import quiet, same_results
from envring.workers import foreign
from foreign.home import Home, both, in_order, plain, running
from foreign.plain_envs import ACCENTED
from support.foreign_prefixes import ENDS, VERSIONS

MODES = ["NextStep", "SameStep", "Disabled"]
PLACES = ["reset", "step", "echo", "render"]
DEATHS = [  # how, the signal, the exit code
    ("SIGKILL", signal.SIGKILL, None),
    ("SIGSEGV", signal.SIGSEGV, None),
    ("os._exit", None, 7),
    ("sys.exit", None, 7),
]
# (class, style of infos, ending)
ENVS = [
    ("Plain", "steady", "terminated"),
    ("Old", "churn", "terminated"),
    ("Plain", "objects", "both"),
    ("Old", "steady", "truncated"),
    ("Plain", "churn", "truncated"),
    ("Plain", "none", "terminated"),
]
SOON = 5.0  # at once, on a machine that may be busy

everywhere = pytest.mark.parametrize("version", VERSIONS)


def at_ends(names: str, values: list[Any], between: Any) -> pytest.MarkDecorator:
    """Each of `values` in the oldest and newest interpreters and ours, `between` in the others.

    What they vary is the worker package's and our own doing, the same code in each interpreter.
    """
    found = [
        pytest.param(version, *(value if isinstance(value, tuple) else (value,)))
        for version in VERSIONS
        for value in values
        if version in ENDS or value is between
    ]
    return pytest.mark.parametrize(("version", *names.split()), found)


@pytest.fixture
def there(version, foreign_python) -> Python:
    return Python(foreign_python(version))


def three(name: str = "Plain", **kwargs: Any) -> list[Any]:
    kwargs.setdefault("lengths", [99])
    return [plain(name, index=index, **kwargs) for index in range(3)]


@at_ends("mode", MODES, between=MODES[1])
def test_values(version, mode, there):
    """Observations, rewards, flags, infos, final observations, over several episodes."""
    sources = [
        plain(name, index=index, infos=infos, ending=ending, lengths=[2 + index % 3, 2])
        for index, (name, infos, ending) in enumerate(ENVS)
    ]
    with both(sources, there, num_workers=2, autoreset_mode=mode) as (envs, oracle):
        assert envs.single_observation_space == oracle.single_observation_space
        assert envs.single_action_space == oracle.single_action_space
        same(envs.reset(seed=4), oracle.reset(seed=4), "reset", version)
        ended = np.zeros(len(sources), bool)
        for number in range(25):
            if mode == "Disabled" and ended.any():
                seeds, options = [number] * len(sources), {"reset_mask": ended}
                actual = envs.reset(seed=seeds, options=dict(options))
                expected = oracle.reset(seed=seeds, options=dict(options))
                same(actual, expected, f"reset before step {number}", version)
            actions = np.arange(number, number + len(sources)) % 8
            actual, expected = envs.step(actions), oracle.step(actions)
            same(actual, expected, f"step {number}", version)
            ended = expected[2] | expected[3]


@everywhere
def test_values_without_the_library(version, there, monkeypatch):
    """Where libenvring does not load, commands travel over the channel, and all is the same."""
    monkeypatch.setattr(foreign, "LIBRARY", Path("/nowhere/libenvring.so"))
    sources = [plain(name, infos=infos, ending=ending) for name, infos, ending in ENVS]
    with both(sources, there, num_workers=2, autoreset_mode="SameStep") as (envs, oracle):
        same(envs.reset(seed=4), oracle.reset(seed=4), "reset", version)
        for number in range(8):
            actions = np.arange(number, number + len(sources)) % 8
            same(envs.step(actions), oracle.step(actions), f"step {number}", version)
        assert_same_batch(envs.call("echo", 1), tuple((0, [1], {}) for _ in sources))


def same(actual: Any, expected: Any, where: str, version: str) -> None:
    if version == "2.7":
        actual, expected = in_order(actual), in_order(expected)
    same_results(actual, expected, where)


@everywhere
def test_calls_and_attributes(version, there):
    arguments = {"a": [1, 2.5, None, "text", ACCENTED, b"\0\xff"], "big": -(2**90), "t": (1, (2,))}
    with running(three(render_mode="rgb_array", infos="objects"), there, num_workers=2) as envs:
        assert set(envs.call("version")) <= {
            version,
            *(["3.9", "3.10", "3.11"] * (version == "pypy")),
        }
        assert len(set(envs.call("pid"))) == 2
        assert_same_batch(envs.get_attr("index"), (0, 1, 2))
        assert_same_batch(envs.get_attr("lengths"), ((99,),) * 3)
        array = np.arange(50_000, dtype=np.float64)
        expected = [5, arguments["a"], array, np.float32(1.5), float("nan")]
        for index, result in enumerate(envs.call("echo", *expected, key=arguments)):
            assert_same_batch(in_order(result), in_order((index, expected, {"key": arguments})))
        envs.set_attr("gravity", [1.5, None, {"x": [array[:3]]}])
        assert_same_batch(envs.get_attr("gravity"), (1.5, None, {"x": [array[:3]]}))
        envs.set_attr("gravity", ACCENTED)
        assert envs.get_attr("gravity") == (ACCENTED,) * 3
        envs.reset(seed=1, options={"deep": {"x": [1, "y", None]}})
        assert envs.get_attr("options") == ({"deep": {"x": [1, "y", None]}},) * 3
        frames = tuple(np.full((2, 3, 3), index, np.uint8) for index in range(3))
        assert_same_batch(envs.render(), frames)
        assert envs.metadata["render_modes"] == ["rgb_array"]
        assert envs.render_mode == "rgb_array"


@everywhere
def test_single_env(version, there):
    """A plain env: values as from a worker at home, attributes, frames, nothing after close()."""
    kwargs = {"index": 2, "lengths": [2], "infos": "steady", "render_mode": "rgb_array"}
    env = RingEnv(plain(**kwargs), launcher=there)
    home = RingEnv(lambda: Home("Plain", **kwargs))
    try:
        assert env.observation_space == home.observation_space
        assert_same(env.reset(seed=3), home.reset(seed=3), version)
        for action in (5, np.int64(2)):
            assert_same(env.step(action), home.step(action), version)
        assert_same_batch(env.render(), np.full((2, 3, 3), 2, np.uint8))
        assert env.metadata["render_fps"] == 30
        assert env.get_wrapper_attr("gravity") == 9.8
        env.set_wrapper_attr("gravity", {"x": [1, None]})
        assert env.get_wrapper_attr("gravity") == {"x": [1, None]}
        assert not env.has_wrapper_attr("no_such_thing")
    finally:
        env.close()
        home.close()
    env.close()
    with pytest.raises(ClosedEnvironmentError):
        env.step(1)


def assert_same(actual: Any, expected: Any, version: str) -> None:
    if version == "2.7":
        actual, expected = in_order(actual), in_order(expected)
    assert_same_batch(actual, expected)


@everywhere
def test_split_calls(version, there):
    with running(three(), there, num_workers=2) as envs:
        envs.reset_async(seed=3)
        envs.reset_wait(timeout=30)
        envs.step_async(np.array([1, 2, 3]))
        rewards = envs.step_wait(timeout=30)[1]
        assert_same_batch(rewards, np.array([1.125, 3.125, 5.125]))
        envs.call_async("echo", 1)
        assert envs.call_wait(timeout=30) == tuple((index, [1], {}) for index in range(3))


@at_ends("place", PLACES, between=PLACES[1])
def test_exceptions(version, place, there):
    """They arrive as text with the remote traceback; the envs live on."""
    sources = three(render_mode="rgb_array")
    sources[1] = plain(index=1, lengths=[99], faults={place: "raise"}, render_mode="rgb_array")
    with running(sources, there, num_workers=2) as envs:
        if place != "reset":
            envs.reset(seed=1)
        operation = {
            "reset": lambda: envs.reset(),
            "step": lambda: envs.step([1, 1, 1]),
            "echo": lambda: envs.call("echo"),
            "render": lambda: envs.render(),
        }[place]
        with quiet(), pytest.raises(RemoteEnvError, match=f"in {place} of env 1") as caught:
            operation()
        assert caught.value.remote_type.rpartition(".")[2] == "Strange"
        cause = str(caught.value.__cause__)
        assert "plain_envs.py" in cause
        assert "_pass" in cause
        assert_same_batch(envs.get_attr("index"), (0, 1, 2))
        if place == "echo":
            assert_same_batch(envs.step([1, 1, 1])[1], np.array([1.125, 2.125, 3.125]))


@at_ends("how number code", DEATHS, between=DEATHS[3])
def test_death(version, how, number, code, there):
    """It is told at once, with the last words, by every later call too."""
    sources = three()
    sources[2] = plain(index=2, lengths=[99], faults={"step": how})
    with running(sources, there, num_workers=3) as envs:
        envs.reset()
        start = time.monotonic()
        with quiet(), pytest.raises(WorkerDied) as caught:
            envs.step([0, 0, 0])
        assert time.monotonic() - start < SOON
        error = caught.value
        assert error.env_ids == (2,)
        assert (error.signal, error.exitcode) == (number, code)
        assert how == "sys.exit" or "last words of env 2" in error.stderr_tail
        with pytest.raises(WorkerDied):
            envs.reset()
        start = time.monotonic()
        with quiet() as logged:
            envs.close()
        assert not logged
        assert time.monotonic() - start < 15


@everywhere
def test_what_cannot_cross(version, there):
    """It is named, and nothing else suffers."""
    sources = three()
    sources[1] = plain("Unsendable", index=1, lengths=[99])
    with running(sources, there, num_workers=2) as envs:
        envs.reset()
        envs.step([1, 1, 1])
        with quiet(), pytest.raises(RemoteEnvError, match=r"\['outer'\]\['inner'\]\[1\].*Stranger"):
            envs.step([1, 5, 1])
        with quiet(), pytest.raises(RemoteEnvError, match="Plain"):
            envs.call("stranger")
        with pytest.raises(UnsendableError, match="'key'"):
            envs.call("echo", key={"key": object()})
        assert_same_batch(envs.get_attr("t"), (2, 2, 2))
        envs.step([1, 1, 1])


@everywhere
def test_prints_and_close(version, there, tmp_path, capfd):
    """What envs print goes to stderr; envs are closed, once."""
    diary = tmp_path / "diary"
    faults = dict.fromkeys(("init", "reset", "step", "close"), "print")
    with running(three(faults=faults, diary=str(diary)), there, num_workers=2) as envs:
        envs.reset()
        assert_same_batch(envs.step([1, 1, 1])[1], np.array([1.125, 2.125, 3.125]))
    assert sorted(diary.read_text().split("\n")[:-1]) == ["close 0", "close 1", "close 2"]
    out, err = capfd.readouterr()
    assert out == ""
    for place in faults:
        assert err.count(f"printed in {place}") == 3
        assert err.count(f"written in {place}") == 3


@everywhere
def test_world_of_the_worker(version, there, monkeypatch):
    """Nothing of the caller's Python leaks in, and worker_env does."""
    monkeypatch.setenv("PYTHONPATH", "/nowhere/of/the/caller")
    monkeypatch.setenv("VIRTUAL_ENV", "/nowhere/venv")
    sources = three()[:1]
    with running(sources, there, num_workers=1, worker_env={"ENVRING_TEST": "set"}) as envs:
        (path,) = envs.call("path")
        assert not any("nowhere" in folder or "_foreign" in folder for folder in path)
        (modules,) = envs.call("modules")
        assert {name for name in modules if name.split(".")[0] == "envring"} == set()
        assert envs.call("variable", "ENVRING_TEST") == ("set",)
        assert envs.call("variable", "OMP_NUM_THREADS") == ("1",)
        assert "nowhere" not in (envs.call("variable", "VIRTUAL_ENV")[0] or "")


@everywhere
def test_timeout_of_a_hanging_env(version, there):
    sources = three()
    sources[0] = plain(lengths=[99], faults={"step": "stop"})
    with running(sources, there, num_workers=2) as envs:
        envs.reset()
        envs.step_async([0, 0, 0])
        with pytest.raises(multiprocessing.TimeoutError):
            envs.step_wait(timeout=0.05)
        start = time.monotonic()
        with quiet():
            envs.close(terminate=True)
        assert time.monotonic() - start < 15


@everywhere
def test_dropped_vector_env(version, there):
    """Without close() the garbage collector ends the workers: the books are checked afterwards."""
    envs = RingVectorEnv(three()[:2], launcher=there, num_workers=2)
    envs.reset()
    del envs
