# SPDX-License-Identifier: MIT
"""Conformance: what AsyncVectorEnv has beyond SyncVectorEnv."""

from __future__ import annotations

import fcntl
import inspect
import multiprocessing
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError
from gymnasium.spaces import Box
from gymnasium.vector import AsyncVectorEnv

from envring.testing.compare import assert_same_batch
from envring.testing.conformance_base import ConformanceBase, expect_error, quiet
from envring.testing.conformance_values import counting, sampling
from envring.testing.envs import CountingEnv
from envring.testing.faulty import GatedEnv, HangingEnv
from envring.testing.spaces import example_spaces

_OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "reset_async": lambda envs: envs.reset_async(),
    "step_async": lambda envs: envs.step_async(np.array([1, 1])),
    "call_async": lambda envs: envs.call_async("index"),
    "set_attr": lambda envs: envs.set_attr("gravity", 1.0),
}
_WAITS: dict[str, Callable[[Any], Any]] = {
    "reset": lambda envs: envs.reset_wait(),
    "step": lambda envs: envs.step_wait(),
    "call": lambda envs: envs.call_wait(),
}
_MEETING_SECONDS = 20.0


class MeetingEnv(CountingEnv):
    """Counts, in a shared file, how many environments are in `step` at the same time.

    Each waits in `step`, at most 20 s, until `together` environments have been there at once.
    """

    def __init__(self, path: str, together: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._path = path
        self._together = together

    def step(self, action: Any) -> Any:
        """Wait for the others, then step."""
        self._count(1)
        until = time.monotonic() + _MEETING_SECONDS
        while self._count(0)[1] < self._together and time.monotonic() < until:
            time.sleep(0.002)
        self._count(-1)
        return super().step(action)

    def _count(self, change: int) -> tuple[int, int]:
        with open(self._path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            active, most = struct.unpack("ii", file.read(8))
            active += change
            most = max(most, active)
            file.seek(0)
            file.write(struct.pack("ii", active, most))
        return active, most


@contextmanager
def meeting(count: int, together: int) -> Iterator[tuple[list[Any], Callable[[], int]]]:
    """Yield env functions of `count` meeting environments, and a function: how many met."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(struct.pack("ii", 0, 0))
        file.flush()
        path = file.name

        def most() -> int:
            return int(struct.unpack("ii", Path(path).read_bytes())[1])

        yield [lambda: MeetingEnv(path, together, lengths=(99,)) for _ in range(count)], most


def gated(gate: str, where: str = "step", at: int = 0) -> list[Any]:
    """Return env functions of two environments; the second waits at the gate."""
    return [lambda: CountingEnv(0), lambda: GatedEnv(gate, where, at, index=1)]


class AsyncConformance(ConformanceBase):
    """Split calls, their order, timeouts, errors of environments and closing."""

    def test_constructor_signature(self) -> None:
        """AsyncVectorEnv's parameters come first, in its order, with its defaults."""
        theirs = list(inspect.signature(AsyncVectorEnv).parameters.values())
        ours = list(inspect.signature(self.subject_class()).parameters.values())
        for mine, gymnasiums in zip(ours, theirs, strict=False):
            assert (mine.name, mine.default, mine.kind) == (
                gymnasiums.name,
                gymnasiums.default,
                gymnasiums.kind,
            )
        assert len(ours) >= len(theirs)
        more = [mine for mine in ours[len(theirs) :] if mine.name != "max_concurrency"]  # since 1.4
        assert all(mine.kind is mine.KEYWORD_ONLY for mine in more)

    def test_attributes_of_the_constructor(self) -> None:
        """The arguments are attributes."""
        with self.running(counting(), max_concurrency=1) as envs:
            assert envs.shared_memory is True
            assert envs.daemon is True
            assert envs.worker is None
            assert envs.max_concurrency == 1
            assert envs.context == self.vector_kwargs.get("context")

    def test_split_calls(self) -> None:
        """`x_async` and `x_wait` give the result of `x`; a long timeout changes nothing."""
        with self.pair(sampling(example_spaces()["nested"], infos="churn")) as (envs, oracle):
            envs.reset_async(seed=5, options={"a": 1})
            assert_same_batch(envs.reset_wait(timeout=30), oracle.reset(seed=5, options={"a": 1}))
            for _ in range(6):
                envs.step_async(np.array([0, 1, 2]))
                assert_same_batch(envs.step_wait(30), oracle.step(np.array([0, 1, 2])))
            envs.call_async("probe", 1, x=2)
            assert_same_batch(envs.call_wait(timeout=30), oracle.call("probe", 1, x=2))
            mask = np.array([False, True, False])
            envs.reset_async([1, 2, 3], {"reset_mask": mask.copy()})
            assert_same_batch(
                envs.reset_wait(), oracle.reset(seed=[1, 2, 3], options={"reset_mask": mask})
            )

    def test_shared_memory_false(self) -> None:
        """The same results with `shared_memory=False`, pending autoresets included."""
        with self.running(counting(lengths=(1,)), shared_memory=False) as envs:
            envs.reset(seed=0)
            envs.step(np.array([1, 1]))
            envs.reset()
            assert_same_batch(
                envs.step(np.array([4, 4]))[0], np.array([[0, 1, 1, 4], [1, 1, 1, 4]], np.float32)
            )

    def test_pending_call(self) -> None:
        """While one call is pending no other may start; the pending one stays collectable."""
        for pending in ("reset", "step", "call"):
            with self.running(counting()) as envs:
                envs.reset()
                _OPERATIONS[f"{pending}_async"](envs)
                for name, operation in _OPERATIONS.items():
                    end = "" if name == "reset_async" else "."
                    text = f"Calling `{name}` while waiting for a pending call to `{pending}` "
                    text += f"to complete{end}"
                    with expect_error(AlreadyPendingCallError, text=text) as caught:
                        operation(envs)
                    assert getattr(caught.error, "name", None) == pending
                assert len(_WAITS[pending](envs)) == {"reset": 2, "step": 5, "call": 2}[pending]
                envs.step(np.array([1, 1]))

    def test_no_pending_call(self) -> None:
        """`x_wait` needs its own `x_async`."""
        with self.running(counting()) as envs:
            envs.reset()
            for pending in (None, "reset", "step", "call"):
                if pending is not None:
                    _OPERATIONS[f"{pending}_async"](envs)
                for name, wait in _WAITS.items():
                    if name != pending:
                        text = f"Calling `{name}_wait` without any prior call to `{name}_async`."
                        with expect_error(NoAsyncCallError, text=text) as caught:
                            wait(envs)
                        assert getattr(caught.error, "name", None) == name
                if pending is not None:
                    _WAITS[pending](envs)

    def test_bad_arguments_before_the_pending_check(self) -> None:
        """A wrong number of seeds or values is an error even while a call is pending."""
        with self.running(counting()) as envs:
            envs.reset()
            envs.step_async(np.array([1, 1]))
            with expect_error(ValueError, match="the length must match"):
                envs.reset_async(seed=[1])
            with expect_error(ValueError, match="Values must be a list or tuple"):
                envs.set_attr("gravity", [1])
            envs.step_wait()

    def test_timeouts(self) -> None:
        """A late result raises multiprocessing.TimeoutError."""
        self.need_processes()
        for pending, where in (("reset", "reset"), ("step", "step"), ("call", "add")):
            with tempfile.TemporaryDirectory() as folder:
                gate = Path(folder, "gate")
                with self.running(gated(str(gate), where, at=-1)) as envs:
                    if pending != "reset":
                        envs.reset()
                    envs.call_async("add", 1) if pending == "call" else _OPERATIONS[
                        f"{pending}_async"
                    ](envs)
                    text = f"The call to `{pending}_wait` has timed out after 0.05 second(s)."
                    with expect_error(multiprocessing.TimeoutError, text=text):
                        getattr(envs, f"{pending}_wait")(timeout=0.05)
                    gate.touch()
                    with quiet():
                        envs.close(timeout=20)

    def test_timeout_of_zero(self) -> None:
        """A timeout of 0 does not wait."""
        self.need_processes()
        with tempfile.TemporaryDirectory() as folder:
            gate = Path(folder, "gate")
            with self.running(gated(str(gate))) as envs:
                envs.reset()
                envs.step_async(np.array([1, 1]))
                with expect_error(
                    multiprocessing.TimeoutError, match="has timed out after 0 second"
                ):
                    envs.step_wait(timeout=0)
                gate.touch()

    def test_results_after_a_timeout(self) -> None:
        """The late batch is dropped, never returned as a later result."""
        self.need_processes()
        with tempfile.TemporaryDirectory() as folder:
            gate = Path(folder, "gate")
            with self.running(gated(str(gate), at=-1)) as envs:
                envs.reset(seed=0)
                envs.step_async(np.array([1, 1]))
                with expect_error(multiprocessing.TimeoutError):
                    envs.step_wait(timeout=0.05)
                gate.touch()
                assert_same_batch(envs.get_attr("index"), (0, 1))
                assert_same_batch(envs.get_attr("t"), (1, 1))
                assert_same_batch(
                    envs.step(np.array([2, 2]))[0],
                    np.array([[0, 0, 2, 2], [1, 0, 2, 2]], np.float32),
                )
                assert_same_batch(
                    envs.reset(seed=0)[0], np.array([[0, 0, 0, -1], [1, 0, 0, -1]], np.float32)
                )

    def test_next_operation_waits_for_the_late_batch(self) -> None:
        """A reset during a running step begins when the step is done."""
        self.need_processes()
        with tempfile.TemporaryDirectory() as folder:
            gate = Path(folder, "gate")
            with self.running(gated(str(gate), at=0)) as envs:
                envs.reset(seed=0)
                envs.step_async(np.array([1, 1]))
                with expect_error(multiprocessing.TimeoutError):
                    envs.step_wait(timeout=0.02)
                opener = threading.Timer(0.2, gate.touch)
                opener.start()
                observations, _ = envs.reset(seed=0)
                opener.join()
                assert_same_batch(
                    observations, np.array([[0, 0, 0, -1], [1, 0, 0, -1]], np.float32)
                )

    def test_use_after_close(self) -> None:
        """Every operation raises ClosedEnvironmentError, properties too."""
        envs = self.make_vector(counting())
        envs.reset()
        envs.close()
        text = f"Trying to operate on `{type(envs).__name__}`, after a call to `close()`."
        operations: dict[str, Callable[[Any], Any]] = {
            **_OPERATIONS,
            **{f"{name}_wait": wait for name, wait in _WAITS.items()},
            "reset": lambda envs: envs.reset(),
            "step": lambda envs: envs.step(np.array([1, 1])),
            "call": lambda envs: envs.call("index"),
            "get_attr": lambda envs: envs.get_attr("index"),
            "render": lambda envs: envs.render(),
            "np_random": lambda envs: envs.np_random,
            "np_random_seed": lambda envs: envs.np_random_seed,
        }
        for operation in operations.values():
            with expect_error(ClosedEnvironmentError, text=text):
                operation(envs)
        assert envs.num_envs == 2
        assert envs.close() is None

    def test_close_during_a_pending_call(self) -> None:
        """It warns, waits for the call, and closes the environments."""
        for pending in ("reset", "step", "call"):
            envs = self.make_vector(counting())
            envs.reset()
            _OPERATIONS[f"{pending}_async"](envs)
            with quiet() as caught:
                envs.close()
            texts = [str(warning.message) for warning in caught]
            expected = (
                f"Calling `close` while waiting for a pending call to `{pending}` to complete."
            )
            assert any(expected in text for text in texts), texts
            assert envs.closed is True

    def test_close_with_terminate(self) -> None:
        """`terminate=True` does not wait for environments."""
        self.need_processes()
        envs = self.make_vector([lambda: HangingEnv(), lambda: CountingEnv()])
        envs.reset()
        envs.step_async(np.array([1, 1]))
        start = time.monotonic()
        with quiet():
            envs.close(terminate=True)
        assert time.monotonic() - start < 5
        assert envs.closed is True

    def test_close_during_a_late_step(self) -> None:
        """`timeout` bounds the wait for the pending call."""
        self.need_processes()
        envs = self.make_vector([lambda: HangingEnv(), lambda: CountingEnv()])
        envs.reset()
        envs.step_async(np.array([1, 1]))
        start = time.monotonic()
        with quiet():
            envs.close(timeout=0.2)
        assert time.monotonic() - start < 5
        assert envs.closed is True

    def test_max_concurrency_values(self) -> None:
        """None or a positive int."""
        for value in (2.5, "2", 2.0):
            with expect_error(
                ValueError, match="`max_concurrency` must be an integer or None, got"
            ):
                self.make_vector(counting(), max_concurrency=value)
        for value in (0, -1, -10):
            with expect_error(
                ValueError, match="`max_concurrency` must be a positive or None, got"
            ):
                self.make_vector(counting(), max_concurrency=value)
        with self.running(counting(), max_concurrency=np.int64(4)) as envs:
            envs.reset()
            envs.step(np.array([0, 0]))

    def test_max_concurrency(self) -> None:
        """Never more environments at once, and as many as allowed."""
        self.need_processes()
        for limit in (1, 2):
            with meeting(4, limit) as (fns, most), self.running(fns, max_concurrency=limit) as envs:
                envs.reset()
                envs.step(np.zeros(4, int))
                assert most() == limit

    def test_custom_worker_signature(self) -> None:
        """A worker that cannot take 8 arguments is refused."""
        with expect_error(ValueError, match="A custom `worker` must accept 8 arguments"):
            self.make_vector(counting(), worker=lambda a, b, c, d, e, f, g: None)

    def test_unknown_context(self) -> None:
        """An unknown context raises ValueError, as in multiprocessing."""
        with expect_error(ValueError):
            self.make_vector(counting(), context="teleport")

    def test_large_observations_under_a_limit(self) -> None:
        """A limit of one does not keep large observations from being delivered."""
        space = Box(0, 255, (256, 256, 3), np.uint8)
        with self.pair_of_images(space) as (envs, oracle):
            assert_same_batch(envs.reset(seed=1)[0], oracle.reset(seed=1)[0])

    @contextmanager
    def pair_of_images(self, space: Box) -> Iterator[tuple[Any, Any]]:
        """Yield image environments with `max_concurrency=1`, and the same in a SyncVectorEnv."""
        fns = sampling(space)
        with (
            self.running(fns, max_concurrency=1, shared_memory=False) as envs,
            self.pair(fns) as (_, oracle),
        ):
            yield envs, oracle


__all__ = ["AsyncConformance", "MeetingEnv", "gated", "meeting"]
