# SPDX-License-Identifier: MIT
"""Calls that block, in a thread beside the event loop: one slow env delays nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_MOST_IDLE = 32  # threads that are kept for the next calls
_IDLE_SECONDS = 3.0  # between two looks for those that nobody needs

T = TypeVar("T")


class Calls:
    """A thread that runs the calls of one session, one after the other."""

    def __init__(self) -> None:
        """Starts it."""
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_work, args=(self._queue,), name="envring-web", daemon=True).start()

    def run(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Runs a call after those before it; called in an event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put((loop, future, call, args))
        return future

    def finish(self, call: Callable[[], Any]) -> None:
        """Runs a last call, and ends the thread; nobody waits for that."""
        self._queue.put((None, None, call, ()))


class Threads:
    """Threads for single calls, each of which is used again."""

    def __init__(self) -> None:
        """Begins without a thread."""
        self._idle: list[Calls] = []
        self._fewest = 0  # that were idle since the last look
        self._looking: asyncio.AbstractEventLoop | None = None  # where one looks again

    async def run(self, call: Callable[[], T]) -> T:
        """Runs a call that may block."""
        calls = self._idle.pop() if self._idle else Calls()
        self._fewest = min(self._fewest, len(self._idle))
        future = calls.run(call)
        try:
            return await future
        finally:
            # of one whose caller was cancelled the thread may still be at work
            if future.cancelled() or len(self._idle) >= _MOST_IDLE:
                calls.finish(_nothing)
            else:
                self._idle.append(calls)
                self._look_later()

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        if self._looking is not loop:
            self._looking = loop
            loop.call_later(_IDLE_SECONDS, self._look)

    def _look(self) -> None:
        """Ends threads that nobody needed for a while, but one."""
        for _ in range(min(self._fewest, len(self._idle) - 1)):
            self._idle.pop().finish(_nothing)
        self._fewest = len(self._idle)
        self._looking = None
        if self._fewest > 1:
            self._look_later()

    def close(self) -> None:
        """Ends those that have nothing to do."""
        while self._idle:
            self._idle.pop().finish(_nothing)

    __del__ = close


def _nothing() -> None:
    pass


def _work(calls: queue.SimpleQueue[Any]) -> None:
    while True:
        loop, future, call, args = calls.get()
        result = error = None
        try:
            result = call(*args)
        except BaseException as raised:
            error = raised
        if loop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_settle, future, result, error)
        del loop, future, call, args, result, error  # while it waits for the next


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
