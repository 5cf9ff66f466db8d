# SPDX-License-Identifier: MIT
"""Closing, forgetting; threads; and what stays readable."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.spaces import Box

from envring import ConcurrentCallError, RingVectorEnv
from envring.testing import CountingEnv, GatedEnv, HangingEnv, SpaceEnv
from envring.testing.conformance_base import quiet
from support.processes import CONTEXTS, assert_gone, counting_fns, read_pid

IMAGE = Box(0, 255, (128, 128, 4), np.uint8)


def image_fns(count: int = 3) -> list[Any]:
    return [lambda i=i: SpaceEnv(IMAGE, index=i, lengths=(99,)) for i in range(count)]  # type: ignore[misc]


@pytest.mark.parametrize("context", CONTEXTS)
def test_close_ends_the_workers(context: str) -> None:
    envs = RingVectorEnv(counting_fns(4), num_workers=2, context=context)
    envs.reset()
    pids = set(envs.get_attr("pid"))
    assert len(pids) == 2
    assert os.getpid() not in pids
    envs.close()
    for pid in pids:
        assert_gone(pid, 5)
    envs.close()


def test_close_before_anything_else() -> None:
    for workers in (0, 1, 2):
        RingVectorEnv(counting_fns(2), num_workers=workers).close()


@pytest.mark.parametrize("workers", [0, 2])
def test_close_closes_the_environments(workers: int, tmp_path: Path) -> None:
    class Closing(CountingEnv):
        def close(self) -> None:
            (tmp_path / f"closed {self.index}").touch()

    envs = RingVectorEnv([lambda i=i: Closing(i) for i in range(4)], num_workers=workers)  # type: ignore[misc]
    envs.reset()
    envs.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"closed {i}" for i in range(4)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pending", ["reset", "step", "call"])
def test_close_during_a_pending_call(pending: str, workers: int) -> None:
    envs = RingVectorEnv(counting_fns(2), num_workers=workers)
    envs.reset()
    {
        "reset": lambda: envs.reset_async(),
        "step": lambda: envs.step_async([0, 0]),
        "call": lambda: envs.call_async("index"),
    }[pending]()
    with quiet() as logged:
        envs.close()
    assert len(logged) == 1
    assert f"pending call to `{pending}`" in str(logged[0].message)
    with pytest.raises(ClosedEnvironmentError):
        getattr(envs, f"{pending}_wait")()


@pytest.mark.parametrize("spin", [False, True])
@pytest.mark.parametrize("arguments", [{"timeout": 1}, {"terminate": True}], ids=str)
def test_close_while_an_environment_hangs_in_step(
    arguments: dict[str, Any], spin: bool, tmp_path: Path
) -> None:
    announce = tmp_path / "pid"
    fns: list[Any] = [CountingEnv, lambda: HangingEnv(spin=spin, announce=str(announce))]
    envs = RingVectorEnv(fns, num_workers=2)
    envs.reset()
    envs.step_async([0, 0])
    pid = read_pid(announce)
    start = time.monotonic()
    with quiet():
        envs.close(**arguments)
    assert time.monotonic() - start < 15
    assert envs.closed
    assert_gone(pid, 5)


@pytest.mark.parametrize("spin", [False, True])
def test_close_of_an_environment_whose_close_hangs(spin: bool, tmp_path: Path) -> None:
    announce = tmp_path / "pid"
    fns: list[Any] = [CountingEnv, lambda: HangingEnv("close", spin=spin, announce=str(announce))]
    envs = RingVectorEnv(fns, num_workers=2)
    envs.reset()
    start = time.monotonic()
    with quiet():
        envs.close(timeout=1)
    assert time.monotonic() - start < 15
    assert envs.closed
    assert_gone(read_pid(announce), 5)


def test_workers_that_ignore_sigterm_end_too(tmp_path: Path) -> None:
    class Stubborn(HangingEnv):
        def fault(self) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            super().fault()

    announce = tmp_path / "pid"
    envs = RingVectorEnv([lambda: Stubborn(announce=str(announce))], num_workers=1)
    envs.reset()
    envs.step_async([0])
    pid = read_pid(announce)
    start = time.monotonic()
    with quiet():
        envs.close(terminate=True)
    assert time.monotonic() - start < 15
    assert_gone(pid, 5)


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("context", CONTEXTS)
def test_garbage_collection_without_close(context: str, pending: bool) -> None:
    envs = RingVectorEnv(counting_fns(2), num_workers=2, context=context)
    envs.reset()
    pids = envs.get_attr("pid")
    if pending:
        envs.step_async([0, 0])
    with quiet():
        del envs
        gc.collect()
    for pid in pids:
        assert_gone(pid, 10)


def test_garbage_collection_of_one_that_hangs(tmp_path: Path) -> None:
    announce = tmp_path / "pid"
    envs = RingVectorEnv([lambda: HangingEnv(announce=str(announce))], num_workers=1)
    envs.reset()
    envs.step_async([0])
    pid = read_pid(announce)
    start = time.monotonic()
    with quiet():
        del envs
        gc.collect()
    assert time.monotonic() - start < 15
    assert_gone(pid, 10)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("copy", [True, False])
def test_results_stay_readable_after_close(copy: bool, workers: int) -> None:
    envs = RingVectorEnv(image_fns(), num_workers=workers, copy=copy)
    kept = [envs.reset(seed=1)[0]]
    kept += [envs.step([0, 1, 2])[0] for _ in range(3)]
    texts = [array.tobytes() for array in kept]
    envs.close()
    del envs
    gc.collect()
    assert [array.tobytes() for array in kept] == texts
    kept[-1][:] = 7
    assert kept[-1].min() == kept[-1].max() == 7
    view = kept[0][1, :, ::2]
    expected = view.tobytes()
    del kept
    gc.collect()
    assert view.tobytes() == expected


@pytest.mark.parametrize("slots", [1, 2, None])
def test_many_kept_batches(slots: int | None) -> None:
    """More than there are slots: they are copied, and none ever changes."""
    oracle = RingVectorEnv(image_fns(), num_workers=0, slots=slots)
    envs = RingVectorEnv(image_fns(), num_workers=2, slots=slots)
    try:
        envs.reset(seed=1), oracle.reset(seed=1)
        kept: list[Any] = []
        for number in range(60):
            batch, expected = envs.step([0, 1, 2])[0], oracle.step([0, 1, 2])[0].tobytes()
            kept.append((batch, expected))
            if number % 7 == 3:
                del kept[:: 2 + number % 3]
        for batch, expected in kept:
            assert batch.tobytes() == expected
            assert batch.flags.writeable
    finally:
        envs.close()
        oracle.close()


def test_views_keep_a_batch() -> None:
    """A row, a reshaped or a sliced array keep the memory as the whole does."""
    envs = RingVectorEnv(image_fns(), num_workers=2, slots=1)
    try:
        batch = envs.reset(seed=1)[0]
        parts = [batch[1], batch.reshape(3, -1)[2], batch[..., 0], batch.T, memoryview(batch)]
        texts = [bytes(part) if isinstance(part, memoryview) else part.tobytes() for part in parts]
        del batch
        for _ in range(10):
            envs.step([0, 1, 2])
        now = [bytes(part) if isinstance(part, memoryview) else part.tobytes() for part in parts]
        assert now == texts
    finally:
        envs.close()


def test_two_threads_at_once(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    fns: list[Any] = [CountingEnv, lambda: GatedEnv(str(gate), index=1)]
    envs = RingVectorEnv(fns, num_workers=2)
    envs.reset(seed=0)
    results: list[Any] = []
    first = threading.Thread(target=lambda: results.append(envs.step([1, 2])))
    first.start()
    read_pid(Path(f"{gate}.waiting"))
    for operation in (
        lambda: envs.step([1, 2]),
        lambda: envs.reset(),
        lambda: envs.get_attr("index"),
        lambda: envs.set_attr("gravity", 1),
        lambda: envs.step_wait(),
    ):
        with pytest.raises(ConcurrentCallError, match="thread"):
            operation()
    gate.touch()
    first.join(10)
    assert results[0][1].tolist() == [0.125, 1.125]
    assert envs.step([1, 2])[1].tolist() == [0.25, 1.25]
    envs.close()


def test_made_in_a_thread_that_ends() -> None:
    """Workers live as long as the process, not as the thread that started them."""
    made: list[Any] = []
    maker = threading.Thread(
        target=lambda: made.append(RingVectorEnv(counting_fns(2), num_workers=2))
    )
    maker.start()
    maker.join(20)
    envs = made.pop()
    envs.reset(seed=0)
    for number in range(1, 4):
        assert envs.step([0, 0])[1].tolist() == [number / 8, 1 + number / 8]
    used = threading.Thread(target=lambda: made.append(envs.step([0, 0])))
    used.start()
    used.join(10)
    assert made[0][1].tolist() == [0.5, 1.5]
    envs.close()


@pytest.mark.parametrize("daemon", [True, False])
def test_daemon_flag(daemon: bool) -> None:
    """Only environments of non-daemons may start multiprocessing's processes."""

    class Parent(CountingEnv):
        def child(self) -> str:
            import multiprocessing

            process = multiprocessing.get_context("fork").Process(target=int)
            try:
                process.start()
            except AssertionError as error:
                return str(error)
            process.join(10)
            return f"exit code {process.exitcode}"

    envs = RingVectorEnv([Parent], num_workers=1, daemon=daemon)
    envs.reset()
    text = envs.call("child")[0]
    assert text == (
        "daemonic processes are not allowed to have children" if daemon else "exit code 0"
    )
    envs.close()


def test_many_vector_envs_at_once() -> None:
    """Each has its own memory and workers; closing one leaves the others alone."""
    several = [RingVectorEnv(counting_fns(2), num_workers=n % 3) for n in range(6)]
    for envs in several:
        envs.reset(seed=0)
    for number in range(3):
        several.pop(number).close()
        for envs in several:
            assert envs.step([1, 1])[1].tolist() == [(number + 1) / 8, 1 + (number + 1) / 8]
    for envs in several:
        envs.close()


def test_made_again_and_again() -> None:
    """Nothing piles up; the leak check of the suite looks."""
    for number in range(15):
        envs = RingVectorEnv(image_fns(), num_workers=2)
        envs.reset(seed=number)
        envs.step([0, 1, 2])
        envs.close()
