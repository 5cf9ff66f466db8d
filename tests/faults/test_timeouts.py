# SPDX-License-Identifier: MIT
"""Workers that take longer than step_timeout, reset_timeout or call_timeout."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from envring import RingEnv, RingVectorEnv, WorkerTimeout
from envring.testing import CountingEnv
from support.processes import assert_gone

LIMIT = 0.6  # seconds, which a worker without trouble does not need on a busy machine, either
SOON = 10.0  # this machine may be busy
LIMITS = {"step_timeout": LIMIT, "reset_timeout": LIMIT, "call_timeout": LIMIT}
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "step": lambda envs: envs.step([0] * envs.num_envs),
    "reset": lambda envs: envs.reset(),
    "call": lambda envs: envs.call("add", 1),
    "set_attr": lambda envs: envs.set_attr("gravity", 1.0),
    "render": lambda envs: envs.render(),
}
HANGS = ("loop", "sleep", "c_code")


class Stuck(CountingEnv):
    """Never ends a step of action 1."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def step(self, action: Any) -> Any:
        """Steps, or hangs."""
        if action == 1:
            self.hang()
        return super().step(0)

    def hang(self) -> None:
        """Hangs."""
        if self.how == "c_code":
            ctypes.PyDLL(None).sleep(3600)  # holds the interpreter lock
        while True:
            if self.how == "sleep":
                time.sleep(0.1)


def stuck(how: str, num_envs: int = 4) -> list[Callable[[], Any]]:
    return [lambda: Stuck(how)] * num_envs


@pytest.mark.parametrize("step_loop", ["compiled", "reference"])
@pytest.mark.parametrize("how", HANGS)
def test_step(how: str, step_loop: Any) -> None:
    envs = RingVectorEnv(stuck(how), num_workers=2, step_loop=step_loop, **LIMITS)
    envs.reset()
    pids = envs.get_attr("pid")
    start = time.monotonic()
    with pytest.raises(WorkerTimeout) as caught:
        envs.step([0, 0, 1, 0])
    assert LIMIT <= time.monotonic() - start < SOON
    error = caught.value
    assert error.env_ids == (2, 3)
    for word in ("envs 2, 3", "step", "step_timeout", str(pids[2])):
        assert word in str(error)
    assert "in hang" in error.stack
    assert error.stack in str(error)
    assert_gone(pids[2], 5)
    for operation in OPERATIONS.values():
        with pytest.raises(WorkerTimeout) as again:
            operation(envs)
        assert again.value is error
    envs.close()
    assert_gone(pids[0], 5)


@pytest.mark.parametrize("name", OPERATIONS)
def test_stopped_worker(name: str) -> None:
    envs = RingVectorEnv(stuck("loop"), num_workers=2, **LIMITS)
    envs.reset()
    pids = envs.get_attr("pid")
    os.kill(pids[0], signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(WorkerTimeout) as caught:
        OPERATIONS[name](envs)
    assert time.monotonic() - start < SOON
    assert caught.value.env_ids == (0, 1)
    assert_gone(pids[0], 5)
    envs.close()
    assert_gone(pids[2], 5)


def test_a_message_that_nobody_reads() -> None:
    envs = RingVectorEnv(stuck("loop", 2), num_workers=2, **LIMITS)
    envs.reset()
    os.kill(envs.get_attr("pid")[1], signal.SIGSTOP)
    with pytest.raises(WorkerTimeout, match="env 1"):
        envs.set_attr("blob", b"x" * (8 << 20))
    envs.close()


def test_late_batch_keeps_its_limit() -> None:
    """What `step_wait` gave up is waited for no longer by the next call either."""
    envs = RingVectorEnv(stuck("sleep", 2), num_workers=2, **LIMITS)
    envs.reset()
    envs.step_async([1, 0])
    with pytest.raises(multiprocessing.TimeoutError):
        envs.step_wait(timeout=0.05)
    start = time.monotonic()
    with pytest.raises(WorkerTimeout, match="env 0"):
        envs.reset()
    assert time.monotonic() - start < SOON
    envs.close()


def test_thinking_does_not_count() -> None:
    envs = RingVectorEnv(stuck("loop", 2), num_workers=2, **LIMITS)
    envs.reset()
    envs.step_async([0, 0])
    time.sleep(2 * LIMIT)
    envs.step_wait()
    envs.close()


def test_no_limit_is_the_default() -> None:
    class Slow(CountingEnv):
        def step(self, action: Any) -> Any:
            time.sleep(0.4)
            return super().step(action)

    envs = RingVectorEnv([Slow] * 2, num_workers=2)
    envs.reset()
    envs.step([0, 0])
    envs.close()


@pytest.mark.parametrize("how", HANGS)
def test_single_env(how: str) -> None:
    env = RingEnv(lambda: Stuck(how), step_timeout=LIMIT)
    env.reset()
    with pytest.raises(WorkerTimeout, match="in hang"):
        env.step(1)
    with pytest.raises(WorkerTimeout):
        env.step(0)
    env.close()


def test_construction_says_where_it_was() -> None:
    def build() -> Any:
        env = Stuck("sleep")
        env.hang()
        return env

    with pytest.raises(WorkerTimeout, match="in hang") as caught:
        RingVectorEnv([CountingEnv, build], num_workers=2, start_timeout=2.0)
    assert caught.value.env_ids == (1,)
    assert "start_timeout" in str(caught.value)


@pytest.mark.parametrize("name", ["step_timeout", "reset_timeout", "call_timeout"])
def test_bad_limits(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        RingVectorEnv([CountingEnv], **{name: 0})


def test_pickles() -> None:
    error = WorkerTimeout("too long", (1, 2), "File x")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.env_ids, copy.stack) == (str(error), (1, 2), "File x")
