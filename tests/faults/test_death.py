# SPDX-License-Identifier: MIT
"""Workers that die: named at once, by every later call, and close() is normal."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envring import EnvringError, LaunchError, RingVectorEnv, WorkerDied
from envring.testing import CountingEnv, DyingEnv, GatedEnv, HangingEnv, assert_same_batch
from envring.testing.conformance_base import quiet
from support.processes import CONTEXTS, assert_gone, counting_fns, read_pid, wait_until

# Promised are 0.2 s; this machine may be busy.
SOON = 5.0  # at once, on a machine that may be busy
OPERATIONS = {
    "step": lambda envs: envs.step([0] * envs.num_envs),
    "reset": lambda envs: envs.reset(),
    "call": lambda envs: envs.call("add", 1),
    "set_attr": lambda envs: envs.set_attr("gravity", 1.0),
}
HOW = [
    ("SIGKILL", signal.SIGKILL, None),
    ("SIGSEGV", signal.SIGSEGV, None),
    ("SIGABRT", signal.SIGABRT, None),
    ("os._exit", None, 7),
    ("sys.exit", None, 7),
]


def kill(pid: int) -> None:
    """Kill a worker and wait for its end, not for what others make of it."""
    os.kill(pid, signal.SIGKILL)
    assert_gone(pid, 5)


def assert_broken(envs: Any, first: WorkerDied) -> None:
    """Every later call raises the same at once; close() is normal."""
    for operation in OPERATIONS.values():
        start = time.monotonic()
        with pytest.raises(WorkerDied) as caught:
            operation(envs)
        assert time.monotonic() - start < SOON
        assert caught.value.env_ids == first.env_ids
        assert caught.value.pid == first.pid
    start = time.monotonic()
    with quiet() as logged:
        envs.close()
    assert time.monotonic() - start < 5
    assert not logged
    assert envs.closed
    envs.close()


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_while_idle(name: str, context: str) -> None:
    envs = RingVectorEnv(counting_fns(4), num_workers=2, context=context)
    envs.reset()
    envs.step([0] * 4)
    pid = envs.get_attr("pid")[2]
    kill(pid)
    start = time.monotonic()
    with pytest.raises(WorkerDied) as caught:
        OPERATIONS[name](envs)
    assert time.monotonic() - start < SOON
    error = caught.value
    assert (error.env_ids, error.pid) == ((2, 3), pid)
    assert (error.signal, error.exitcode) == (signal.SIGKILL, None)
    for word in ("2", "3", str(pid), "SIGKILL"):
        assert word in str(error)
    assert isinstance(error, RuntimeError)
    assert_broken(envs, error)


@pytest.mark.parametrize("loop", ["compiled", "reference"])
@pytest.mark.parametrize(("how", "number", "code"), HOW)
@pytest.mark.parametrize("where", ["step", "reset", "add"])
def test_death_of_its_own_hand(
    where: str, how: str, number: int | None, code: int | None, loop: str
) -> None:
    words = "last words"
    fns: list[Any] = counting_fns(3)
    fns[1] = lambda: DyingEnv(how, where, at=1, last_words=words, lengths=(99,))
    envs = RingVectorEnv(fns, num_workers=3, step_loop=loop)
    operation = OPERATIONS["call" if where == "add" else where]
    for name in ("reset", "step", "call"):
        OPERATIONS[name](envs)
    start = time.monotonic()
    with quiet(), pytest.raises(WorkerDied) as caught:
        operation(envs)
    assert time.monotonic() - start < SOON
    error = caught.value
    assert error.env_ids == (1,)
    assert (error.signal, error.exitcode) == (number, code)
    assert words in error.stderr_tail
    assert words in str(error)
    assert_broken(envs, error)


def test_segfault_leaves_a_traceback_in_the_tail() -> None:
    """faulthandler is on in workers."""
    fns: list[Any] = [lambda: DyingEnv("SIGSEGV", "step", lengths=(99,))]
    envs = RingVectorEnv(fns, num_workers=1)
    envs.reset()
    with pytest.raises(WorkerDied) as caught:
        envs.step([0])
    assert "Segmentation fault" in caught.value.stderr_tail
    assert "in fault" in caught.value.stderr_tail
    assert "\0" not in caught.value.stderr_tail
    envs.close()


@pytest.mark.parametrize("timeout", [None, 20])
def test_killed_during_a_step(timeout: float | None, tmp_path: Path) -> None:
    """The waiting call learns of it, with or without a timeout."""
    gate = tmp_path / "gate"
    fns: list[Any] = [CountingEnv, lambda: GatedEnv(str(gate))]
    envs = RingVectorEnv(fns, num_workers=2)
    envs.reset()
    envs.step_async([0, 0])
    pid = read_pid(Path(f"{gate}.waiting"))
    ended: list[float] = []

    def end() -> None:
        kill(pid)
        ended.append(time.monotonic())

    killer = threading.Timer(0.1, end)
    killer.start()
    with pytest.raises(WorkerDied) as caught:
        envs.step_wait(timeout)
    raised = time.monotonic()
    killer.join()
    assert raised - ended[0] < SOON
    assert caught.value.env_ids == (1,)
    assert caught.value.pid == pid
    assert_broken(envs, caught.value)


def test_killed_between_two_waits(tmp_path: Path) -> None:
    """Death after a timeout: the next operation raises instead of waiting for the late batch."""
    import multiprocessing

    gate = tmp_path / "gate"
    fns: list[Any] = [CountingEnv, lambda: GatedEnv(str(gate))]
    envs = RingVectorEnv(fns, num_workers=2)
    envs.reset()
    envs.step_async([0, 0])
    with pytest.raises(multiprocessing.TimeoutError):
        envs.step_wait(0.05)
    kill(read_pid(Path(f"{gate}.waiting")))
    with pytest.raises(WorkerDied) as caught:
        envs.step([0, 0])
    assert_broken(envs, caught.value)


@pytest.mark.parametrize("operation", ["step_async", "reset_async", "call_async"])
def test_killed_before_an_async_call_is_collected(operation: str) -> None:
    envs = RingVectorEnv(counting_fns(2), num_workers=2)
    envs.reset()
    pid = envs.get_attr("pid")[0]
    arguments = {"step_async": ([0, 0],), "reset_async": (), "call_async": ("index",)}[operation]
    getattr(envs, operation)(*arguments)
    kill(pid)
    wait = getattr(envs, operation.replace("async", "wait"))
    deaths: list[WorkerDied] = []
    # It may have answered before it was killed: then the next call tells.
    for attempt in (wait, envs.reset):
        try:
            attempt()
        except WorkerDied as error:
            deaths.append(error)
    assert [death.env_ids for death in deaths] in ([(0,)], [(0,), (0,)])
    envs.close()
    assert envs.closed


def test_all_workers_killed() -> None:
    envs = RingVectorEnv(counting_fns(4), num_workers=4)
    envs.reset()
    pids = envs.get_attr("pid")
    for pid in pids:
        kill(pid)
    with pytest.raises(WorkerDied) as caught:
        envs.step([0] * 4)
    assert caught.value.pid in pids
    assert_broken(envs, caught.value)


def test_close_after_a_death_nobody_noticed() -> None:
    envs = RingVectorEnv(counting_fns(2), num_workers=2)
    envs.reset()
    pids = envs.get_attr("pid")
    kill(pids[1])
    start = time.monotonic()
    with quiet() as logged:
        envs.close()
    assert time.monotonic() - start < 5
    assert not logged
    assert envs.closed
    assert_gone(pids[0], 1)


def test_siblings_end_with_the_dead() -> None:
    envs = RingVectorEnv(counting_fns(3), num_workers=3)
    envs.reset()
    pids = envs.get_attr("pid")
    kill(pids[0])
    with pytest.raises(WorkerDied):
        envs.step([0, 0, 0])
    envs.close()
    for pid in pids:
        assert_gone(pid, 1)


def test_results_taken_before_a_death_stay() -> None:
    envs = RingVectorEnv(counting_fns(2), num_workers=2)
    envs.reset(seed=0)
    observations, rewards, *_, infos = envs.step([3, 4])
    kill(envs.get_attr("pid")[0])
    with pytest.raises(WorkerDied):
        envs.step([0, 0])
    envs.close()
    assert_same_batch(observations, np.array([[0, 0, 1, 3], [1, 0, 1, 4]], np.float32))
    assert_same_batch(rewards, np.array([0.125, 1.125]))
    assert_same_batch(infos["t"], np.array([1, 1]))


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize(("how", "number", "code"), HOW)
def test_death_in_the_constructor(
    how: str, number: int | None, code: int | None, context: str
) -> None:
    fns: list[Any] = counting_fns(3)
    fns[2] = lambda: DyingEnv(how, "init", last_words="last words")
    start = time.monotonic()
    with quiet(), pytest.raises((WorkerDied, LaunchError)) as caught:
        RingVectorEnv(fns, num_workers=3, context=context)
    assert time.monotonic() - start < 20
    error = caught.value
    assert isinstance(error, EnvringError)
    assert isinstance(error, RuntimeError)
    assert "2" in str(error)
    if isinstance(error, WorkerDied):
        assert error.env_ids == (2,)
        assert (error.signal, error.exitcode) == (number, code)
        assert "last words" in error.stderr_tail


def test_death_while_closing() -> None:
    for how, _, _ in HOW:
        fns: list[Any] = counting_fns(2)
        fns[1] = lambda how=how: DyingEnv(how, "close")  # type: ignore[misc]
        envs = RingVectorEnv(fns, num_workers=2)
        envs.reset()
        pids = envs.get_attr("pid")
        with quiet():
            envs.close()
        assert envs.closed
        for pid in pids:
            assert_gone(pid, 1)


def test_death_of_a_hanging_worker_is_seen_by_another_thread(tmp_path: Path) -> None:
    """close() from outside of a wait is for the main thread; the waiter gets the death."""
    announce = tmp_path / "pid"
    fns: list[Any] = [CountingEnv, lambda: HangingEnv(announce=str(announce), spin=True)]
    envs = RingVectorEnv(fns, num_workers=2)
    envs.reset()
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            envs.step([0, 0])
        except BaseException as error:
            caught.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    kill(read_pid(announce))
    waiter.join(SOON)
    assert not waiter.is_alive()
    assert isinstance(caught[0], WorkerDied)
    envs.close()


def test_long_stderr_keeps_its_end() -> None:
    words = "\n".join(f"line {i}" for i in range(20_000))
    fns: list[Any] = [lambda: DyingEnv("os._exit", "step", last_words=words)]
    envs = RingVectorEnv(fns, num_workers=1)
    envs.reset()
    with pytest.raises(WorkerDied) as caught:
        envs.step([0])
    assert "line 19999" in caught.value.stderr_tail
    assert len(caught.value.stderr_tail) < 100_000
    envs.close()


def test_stderr_that_is_no_text() -> None:
    fns: list[Any] = [lambda: BinaryLastWords("os._exit", "step")]
    envs = RingVectorEnv(fns, num_workers=1)
    envs.reset()
    with pytest.raises(WorkerDied) as caught:
        envs.step([0])
    assert "end" in caught.value.stderr_tail
    envs.close()


class BinaryLastWords(DyingEnv):
    def fault(self) -> None:
        os.write(2, b"\xff\xfe\x00\n\x80 end\n")
        super().fault()


def test_stopped_worker_only_delays() -> None:
    """SIGSTOP is no death."""
    envs = RingVectorEnv(counting_fns(2), num_workers=2)
    envs.reset()
    pid = envs.get_attr("pid")[1]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: stopped(pid), 5, "stopped")
        envs.step_async([0, 0])
        resume = threading.Timer(0.3, os.kill, (pid, signal.SIGCONT))
        resume.start()
        assert envs.step_wait()[1].tolist() == [0.125, 1.125]
        resume.join()
    finally:
        os.kill(pid, signal.SIGCONT)
        envs.close()


def test_close_of_a_stopped_worker() -> None:
    envs = RingVectorEnv(counting_fns(2), num_workers=2)
    envs.reset()
    pid = envs.get_attr("pid")[1]
    os.kill(pid, signal.SIGSTOP)
    start = time.monotonic()
    with quiet():
        envs.close(timeout=0.5)
    assert time.monotonic() - start < 8
    assert_gone(pid, 1)


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def _watchers() -> int:
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return names.count("envring-watch")


def test_one_thread_watches_and_survives_a_fork() -> None:
    envs = RingVectorEnv(counting_fns(4), num_workers=2)
    envs.reset()
    pids = envs.get_attr("pid")
    wait_until(lambda: _watchers() == 1, 5, "the watch to start")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test runner has threads
        pid = os.fork()
    if pid == 0:
        os._exit(_watchers())
    assert os.waitpid(pid, 0)[1] == 0
    wait_until(lambda: _watchers() == 1, 5, "the watch to start again")
    envs.step_async([0] * 4)
    envs.step_wait()
    kill(pids[1])
    with pytest.raises(WorkerDied):
        envs.step([0] * 4)
    envs.close()
    assert _watchers() == 0
