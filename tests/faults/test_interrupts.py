# SPDX-License-Identifier: MIT
"""Ctrl-C while waiting and while closing: what goes on afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError

from envring import RingEnv, RingVectorEnv
from envring.testing import CountingEnv, GatedEnv, assert_same_batch
from envring.testing.conformance_base import quiet
from envring.workers.handle import WorkerHandle
from support.interrupts import interrupted
from support.processes import Caller, assert_gone, counting_fns, read_pid


@pytest.mark.parametrize("where", ["step", "reset", "call"])
def test_keyboard_interrupt_while_waiting(where: str, tmp_path: Path) -> None:
    """Raised at once; close() works."""
    gate = tmp_path / "gate"
    place = "add" if where == "call" else where
    fns: list[Any] = [CountingEnv, lambda: GatedEnv(str(gate), place, at=-1)]
    envs = RingVectorEnv(fns, num_workers=2)
    sent: list[float] = []

    def interrupt() -> None:
        read_pid(Path(f"{gate}.waiting"))
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    if where != "reset":
        envs.reset()
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = threading.Thread(target=interrupt)
    try:
        sender.start()
        with pytest.raises(KeyboardInterrupt):
            {
                "step": lambda: envs.step([0, 0]),
                "reset": lambda: envs.reset(),
                "call": lambda: envs.call("add", 1),
            }[where]()
        raised = time.monotonic()
        sender.join()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert raised - sent[0] < 1
    gate.touch()
    with quiet():
        envs.close(timeout=10)
    assert envs.closed


def test_use_goes_on_after_a_keyboard_interrupt(tmp_path: Path) -> None:
    """The interrupted step can be waited for again."""
    gate = tmp_path / "gate"
    fns: list[Any] = [CountingEnv, lambda: GatedEnv(str(gate), index=1)]
    envs = RingVectorEnv(fns, num_workers=2)
    envs.reset(seed=0)
    with interrupted(gate):
        envs.step([3, 3])
    observations = envs.step_wait()[0]
    assert_same_batch(observations, np.array([[0, 0, 1, 3], [1, 0, 1, 3]], np.float32))
    observations = envs.reset(seed=0)[0]
    assert_same_batch(observations, np.array([[0, 0, 0, -1], [1, 0, 0, -1]], np.float32))
    envs.close()


@pytest.mark.parametrize("where", ["step", "reset", "call"])
def test_the_next_reset_just_works(where: str, tmp_path: Path) -> None:
    """As in the next cell of a notebook; what was interrupted is forgotten."""
    gate = tmp_path / "gate"
    place = "add" if where == "call" else where
    fns: list[Any] = [CountingEnv, lambda: GatedEnv(str(gate), place, at=-1, index=1)]
    envs = RingVectorEnv(fns, num_workers=2)
    if where != "reset":
        envs.reset()
    with interrupted(gate):
        {
            "step": lambda: envs.step([3, 3]),
            "reset": lambda: envs.reset(),
            "call": lambda: envs.call("add", 1),
        }[where]()
    for _ in range(2):
        observations = envs.reset(seed=0)[0]
        assert_same_batch(observations, np.array([[0, 0, 0, -1], [1, 0, 0, -1]], np.float32))
        envs.step([1, 1])
    envs.step_async([1, 1])
    with pytest.raises(AlreadyPendingCallError):
        envs.reset()
    envs.step_wait()
    envs.close()


def test_an_interrupted_step_may_be_waited_for(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    envs = RingVectorEnv([lambda: GatedEnv(str(gate), "step", at=-1)], num_workers=1)
    envs.reset()
    with interrupted(gate):
        envs.step([3])
    with pytest.raises(AlreadyPendingCallError):
        envs.step([4])
    assert_same_batch(envs.step_wait()[0], np.array([[0, 0, 1, 3]], np.float32))
    envs.step_async([5])
    with pytest.raises(AlreadyPendingCallError):
        envs.reset()
    assert_same_batch(envs.step_wait()[0], np.array([[0, 0, 2, 5]], np.float32))
    envs.close()


class Interrupted(KeyboardInterrupt):
    pass


def close_interrupted(envs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closes; Ctrl-C comes while the workers are waited for."""

    def interrupted(*_: Any) -> bool:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(WorkerHandle, "wait_until_dead", interrupted)
        with pytest.raises(Interrupted):
            envs.close()


def test_ctrl_c_in_close_does_not_spoil_the_next_close(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = RingVectorEnv(counting_fns(2), num_workers=2)
    envs.reset()
    pids = envs.get_attr("pid")
    close_interrupted(envs, monkeypatch)
    envs.close()
    for pid in pids:
        assert_gone(pid, 5)
    assert envs.closed


def test_ctrl_c_in_close_of_one_env(monkeypatch: pytest.MonkeyPatch) -> None:
    env = RingEnv(CountingEnv)
    pid = env.get_wrapper_attr("pid")
    close_interrupted(env, monkeypatch)
    env.close()
    assert_gone(pid, 5)


STARTING = """
    import multiprocessing, os, signal
    from envring import RingVectorEnv
    from support.processes import counting_fns

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.register_at_fork({when}=lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        envs = RingVectorEnv(counting_fns(4), num_workers=2, context="fork")
        envs.reset()
        print("reset", flush=True)
        envs.close()
    except KeyboardInterrupt:
        print("interrupted, left:", multiprocessing.active_children(), flush=True)
"""


@pytest.mark.parametrize(
    ("when", "what"),
    [("after_in_child", "reset"), ("after_in_parent", "interrupted, left: []")],
)
def test_ctrl_c_while_workers_are_forked(when: str, what: str) -> None:
    """It is the caller's, and is neither lost nor the death of a worker."""
    with Caller(STARTING.format(when=when)) as caller:
        assert caller.line() == what
        assert caller.finish() == (0, "", "")
