# SPDX-License-Identifier: MIT
"""Exceptions of environments: they arrive whole, or as text, and everything works after."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from envring import EnvringError, RemoteEnvError, RingVectorEnv, WorkerDied
from envring.testing import CountingEnv, FailingEnv, assert_same_batch
from envring.testing.conformance_base import quiet

HOMES = [(0, "compiled"), (0, "reference"), (2, "compiled"), (2, "reference"), (1, "compiled")]


@pytest.fixture(params=HOMES, ids=lambda home: f"{home[0]}-{home[1]}")
def home(request: pytest.FixtureRequest) -> dict[str, Any]:
    workers, loop = request.param
    return {"num_workers": workers, "step_loop": loop}


class SeveralArguments(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Reduced(Exception):
    def __init__(self, code: int, *, message: str) -> None:
        super().__init__(code)
        self.message = message

    def __reduce__(self) -> Any:
        return _reduced, (self.args[0], self.message)


def _reduced(code: int, message: str) -> Reduced:
    return Reduced(code, message=message)


class DoesNotComeBack(Exception):
    """Pickles, and cannot be read again."""

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise RuntimeError("while reading the exception")


class Panic(BaseException):
    """As Rust's panics come out of pyo3."""


def _comes_back_as_text() -> str:
    return "no exception"


class ComesBackAsText(Exception):
    def __reduce__(self) -> Any:
        return _comes_back_as_text, ()


class RaisesWhenShown(Exception):
    def __str__(self) -> str:
        raise RuntimeError("while showing the exception")


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "step": lambda envs: envs.step([0, 0, 0]),
    "reset": lambda envs: envs.reset(),
    "add": lambda envs: envs.call("add", 1),
}


def local_class() -> BaseException:
    class Local(ValueError):
        pass

    return Local("made in a function")


def holds_a_lock() -> BaseException:
    error = ValueError("holds a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    return error


def very_long() -> BaseException:
    return ValueError("x" * 2_000_000)


def group() -> BaseException:
    return ExceptionGroup("several", [ValueError(1), KeyError("two")])


def chained() -> BaseException:
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    return error


def failing(make: Callable[[], BaseException], where: str = "step", **kwargs: Any) -> list[Any]:
    """The second of three fails at its second call."""
    kwargs.setdefault("at", 1)
    fail = lambda: FailingEnv(make, where, index=1, lengths=(99,), **kwargs)  # noqa: E731
    return [lambda: CountingEnv(0, (99,)), fail, lambda: CountingEnv(2, (99,))]


def assert_works(envs: Any) -> None:
    observation = envs.reset(seed=0)[0]
    assert_same_batch(observation, np.array([[i, 0, 0, -1] for i in range(3)], np.float32))
    assert_same_batch(envs.step([1, 1, 1])[1], np.array([0.125, 1.125, 2.125]))
    assert envs.get_attr("index") == (0, 1, 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError("plain"),
        lambda: KeyError("goal"),
        lambda: SeveralArguments(3, "three"),
        lambda: Reduced(4, message="four"),
        lambda: OSError(2, "No such file", "path"),
        lambda: StopIteration(5),
        lambda: AssertionError(),
        lambda: ValueError("100% {} %s"),
        local_class,
        lambda: RecursionError("deep"),
        lambda: MemoryError("much"),
        lambda: AttributeError("name"),
        group,
        chained,
        very_long,
        lambda: asyncio.CancelledError("cut off"),
        lambda: GeneratorExit("closed"),
        lambda: Panic("index out of bounds"),
    ],
    ids=lambda make: repr(make())[:30],
)
@pytest.mark.parametrize("where", ["step", "reset"])
def test_exceptions_that_travel(
    make: Callable[[], BaseException], where: str, home: dict[str, Any]
) -> None:
    model = make()
    envs = RingVectorEnv(failing(make, where), **home)
    try:
        envs.reset()
        envs.step([0, 0, 0])
        with quiet() as logged, pytest.raises(BaseException) as caught:
            OPERATIONS[where](envs)
        assert type(caught.value).__name__ == type(model).__name__
        assert str(caught.value) == str(model)
        if not isinstance(model, SeveralArguments):
            assert caught.value.args == model.args or isinstance(model, ExceptionGroup)
        assert vars(caught.value).keys() >= vars(model).keys()
        assert [str(line.message).count("Worker-1") for line in logged] == [1, 0, 0]
        assert_works(envs)
    finally:
        envs.close()


def test_remote_traceback_is_the_cause(home: dict[str, Any]) -> None:
    envs = RingVectorEnv(failing(lambda: KeyError("goal")), **home)
    try:
        envs.reset()
        envs.step([0, 0, 0])
        with quiet(), pytest.raises(KeyError) as caught:
            envs.step([0, 0, 0])
        assert caught.value.args == ("goal",)
        assert "in fault\n    raise self._error()" in str(caught.value.__cause__)
        assert "KeyError: 'goal'" in str(caught.value.__cause__)
    finally:
        envs.close()


@pytest.mark.parametrize("make", [holds_a_lock, DoesNotComeBack, ComesBackAsText, RaisesWhenShown])
@pytest.mark.parametrize("where", ["step", "reset", "add"])
def test_exceptions_that_do_not_travel(
    make: Callable[[], BaseException], where: str, home: dict[str, Any]
) -> None:
    """As themselves where nothing has to travel, else as text."""
    envs = RingVectorEnv(failing(make, where), **home)
    own = type(make())
    try:
        envs.reset()
        envs.step([0, 0, 0])
        envs.call("add", 1)
        with quiet(), pytest.raises((RemoteEnvError, ValueError, Exception)) as caught:
            OPERATIONS[where](envs)
        assert (
            isinstance(caught.value, RemoteEnvError) or type(caught.value).__name__ == own.__name__
        )
        if isinstance(caught.value, RemoteEnvError):
            assert "env 1" in str(caught.value)
            assert own.__name__ in f"{caught.value}{caught.value.__cause__}"
        assert_works(envs)
    finally:
        with quiet():
            envs.close()


def test_each_of_many_failing_environments_is_reported(home: dict[str, Any]) -> None:
    fns = [lambda i=i: FailingEnv(lambda: ValueError(f"env {i}"), index=i) for i in range(6)]  # type: ignore[misc]
    envs = RingVectorEnv(fns, **home)
    try:
        envs.reset()
        with quiet() as logged, pytest.raises(ValueError, match="env 5"):
            envs.step([0] * 6)
        assert len(logged) == 13
        assert_same_batch(envs.reset(seed=0)[0][:, 0], np.arange(6, dtype=np.float32))
        envs.step([0] * 6)
    finally:
        envs.close()


def test_failing_again_and_again(home: dict[str, Any]) -> None:
    envs = RingVectorEnv(failing(lambda: ValueError("again"), at=-1), **home)
    try:
        for _ in range(30):
            envs.reset()
            with quiet(), pytest.raises(ValueError, match="again"):
                envs.step([0, 0, 0])
    finally:
        envs.close()


def test_neighbours_of_a_failing_environment_were_stepped(home: dict[str, Any]) -> None:
    """As with one process per environment: the others did their step."""
    envs = RingVectorEnv(failing(lambda: ValueError("boom")), **home)
    try:
        envs.reset()
        envs.step([0, 0, 0])
        with quiet(), pytest.raises(ValueError, match="boom"):
            envs.step([0, 0, 0])
        assert envs.get_attr("t") == (2, 1, 2)
    finally:
        envs.close()


def test_masked_reset_after_an_exception(home: dict[str, Any]) -> None:
    """Only the one that failed need be reset."""
    envs = RingVectorEnv(failing(lambda: ValueError("boom")), **home)
    try:
        envs.reset(seed=0)
        envs.step([0, 0, 0])
        with quiet(), pytest.raises(ValueError, match="boom"):
            envs.step([0, 0, 0])
        mask = np.array([False, True, False])
        envs.reset(seed=0, options={"reset_mask": mask})
        observation = envs.step([1, 1, 1])[0]
        assert observation[:, 2].tolist() == [3.0, 1.0, 3.0]
    finally:
        envs.close()


def test_exception_while_another_environment_ends(home: dict[str, Any]) -> None:
    """What was to be reset next is still to be reset."""
    fns = [
        lambda: CountingEnv(0, (2,)),
        lambda: FailingEnv(lambda: ValueError("boom"), at=1, index=1, lengths=(99,)),
    ]
    envs = RingVectorEnv(fns, **home)
    try:
        envs.reset(seed=0)
        envs.step([0, 0])
        with quiet(), pytest.raises(ValueError, match="boom"):
            envs.step([0, 0])
        batch = envs.step([5, 5])
        assert_same_batch(batch[0][0], np.array([0, 1, 0, -1], np.float32))
        assert batch[1][0] == 0.0
    finally:
        envs.close()


def test_failing_autoreset(home: dict[str, Any]) -> None:
    """An exception of the reset within a step."""
    for mode in ("NextStep", "SameStep"):
        fns = failing(lambda: ValueError("boom"), "reset")
        fns[1] = lambda: FailingEnv(lambda: ValueError("boom"), "reset", at=1, lengths=(1,))
        envs = RingVectorEnv(fns, autoreset_mode=mode, **home)
        try:
            envs.reset()
            if mode == "NextStep":
                envs.step([0, 0, 0])
            with quiet(), pytest.raises(ValueError, match="boom"):
                envs.step([0, 0, 0])
            envs.reset()
            envs.step([0, 0, 0])
        finally:
            envs.close()


def test_failing_render_and_attributes(home: dict[str, Any]) -> None:
    envs = RingVectorEnv(failing(lambda: ValueError("boom"), "render", at=0), **home)
    try:
        envs.reset()
        with quiet(), pytest.raises(ValueError, match="boom"):
            envs.render()
        with quiet(), pytest.raises(AttributeError, match="missing"):
            envs.get_attr("missing")
        with quiet(), pytest.raises(AttributeError):
            envs.set_attr("pid", 5)
        assert_works(envs)
    finally:
        envs.close()


@pytest.mark.parametrize("make", [asyncio.CancelledError, lambda: Panic("while built")])
def test_base_exception_of_a_constructor_or_close(make: Any, home: dict[str, Any]) -> None:
    fns = [CountingEnv, lambda: FailingEnv(make, "init")]
    with quiet(), pytest.raises(type(make())):
        RingVectorEnv(fns, **home)
    envs = RingVectorEnv(failing(make, "close", at=0), **home)
    with quiet():
        envs.close()
    assert envs.closed


def test_exit_in_an_environment_ends_its_worker() -> None:
    """As a call of `exit` ends any process."""
    envs = RingVectorEnv(failing(lambda: SystemExit(7)), num_workers=3)
    try:
        envs.reset()
        envs.step([0, 0, 0])
        with quiet(), pytest.raises(WorkerDied) as caught:
            envs.step([0, 0, 0])
        assert caught.value.env_ids == (1,)
        assert caught.value.exitcode == 7
    finally:
        with quiet():
            envs.close()


def test_failing_close(home: dict[str, Any]) -> None:
    """close() ends everything and does not raise."""
    envs = RingVectorEnv(failing(lambda: ValueError("boom"), "close", at=0), **home)
    envs.reset()
    with quiet():
        envs.close()
    assert envs.closed


def test_keyboard_interrupt_of_an_environment(home: dict[str, Any]) -> None:
    """It is raised here as in any loop over environments."""
    envs = RingVectorEnv(failing(KeyboardInterrupt), **home)
    try:
        envs.reset()
        envs.step([0, 0, 0])
        with quiet(), pytest.raises((KeyboardInterrupt, EnvringError)):
            envs.step([0, 0, 0])
    finally:
        with quiet():
            envs.close()
