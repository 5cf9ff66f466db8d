# SPDX-License-Identifier: MIT
"""Two processes that signal each other with the doorbells of a segment or with two pipes."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from envring.core import _core
from support.interleaved import Side, Take, repeated

FORK = multiprocessing.get_context("fork")
CONFIG = {
    "num_envs": 1,
    "num_workers": 1,
    "num_slots": 1,
    "command_ring_bytes": 1024,
    "reply_ring_bytes": 1024,
    "action_bytes": 128,
    "final_bytes": 128,
    "slot_bytes": 128,
    "info_bytes": 128,
}
YIELD_EVERY = 4
ANSWER_SECONDS = 10.0


def doorbell(spin: float, cpus: tuple[int, int]) -> Side:
    """An empty batch: the command ring and bell to a worker, its sequence and bell back.

    Args:
        spin: Seconds that both spin before they sleep.
        cpus: Where caller and worker run.
    """

    @contextmanager
    def opened() -> Iterator[Take]:
        buffer = mmap.mmap(-1, _core.segment_bytes(**CONFIG))
        segment = _core.Segment(buffer, CONFIG)
        caller = _core.CallerPort(segment, spin, False, YIELD_EVERY, segment.num_envs)

        def round_trip() -> None:
            caller.start_step(0, 0)
            while caller.wait(time.monotonic_ns() + round(ANSWER_SECONDS * 1e9)):
                if not process.is_alive():
                    raise RuntimeError(f"the worker has ended ({process.exitcode})")

        process = _start(_answer_bells, segment, spin, cpus[1])
        try:
            yield _on(cpus[0], repeated(round_trip))
            caller.post_messages(False)
        finally:
            _end(process)

    return opened


def pipes(cpus: tuple[int, int]) -> Side:
    """A byte through a pipe to another process, and one back through another."""

    @contextmanager
    def opened() -> Iterator[Take]:
        (asked, ask), (answered, answer) = os.pipe(), os.pipe()

        def round_trip() -> None:
            os.write(ask, b".")
            if not os.read(answered, 1):
                raise RuntimeError(f"the other end has closed ({process.exitcode})")

        process = _start(_answer_pipe, asked, answer, cpus[1])
        os.close(asked)
        os.close(answer)
        try:
            yield _on(cpus[0], repeated(round_trip))
            os.write(ask, b"q")
        finally:
            _end(process)
            os.close(ask)
            os.close(answered)

    return opened


def _on(cpu: int, take: Take) -> Take:
    """The same slices, with this process on one CPU meanwhile."""

    def pinned(seconds: float) -> float:
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cpu})
        try:
            return take(seconds)
        finally:
            os.sched_setaffinity(0, before)

    return pinned


def _start(target: Callable[..., None], *arguments: Any) -> Any:
    process = FORK.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def _end(process: Any) -> None:
    """Waits for a process that was told to end, and kills it if it does not."""
    process.join(ANSWER_SECONDS)
    process.kill()
    process.join()
    process.close()


def _answer_bells(segment: _core.Segment, spin: float, cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    port = _core.WorkerPort(segment, 0, 0, 1, spin, False, YIELD_EVERY)
    parent = os.getppid()
    while os.getppid() == parent:
        command = port.next(1.0)
        if command is None:
            continue
        op, seq, _slot, _action = command
        if op == _core.OP_MESSAGE:
            break
        port.finish(seq)


def _answer_pipe(asked: int, answer: int, cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    while (byte := os.read(asked, 1)) == b".":
        os.write(answer, byte)
