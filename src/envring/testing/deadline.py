# SPDX-License-Identifier: MIT
"""A time limit for one test."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["deadline"]


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Fail the block if it takes longer than a limit.

    SIGALRM raises the error in the main thread, so it ends every wait that a signal can
    interrupt. In another thread the block has no limit.

    Args:
        seconds: Limit in seconds.

    Raises:
        AssertionError: The limit has passed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not done after {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
