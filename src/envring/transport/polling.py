# SPDX-License-Identifier: MIT
"""Waiting for descriptors of any number: `select.select` refuses those from 1024 on."""

from __future__ import annotations

import select
from collections.abc import Sequence


def readable(fds: Sequence[int], seconds: float) -> set[int]:
    """Waits until something can be read; the descriptors of which that is true, or that hung up."""
    return _wait(fds, select.POLLIN, seconds)


def writable(fd: int, seconds: float) -> bool:
    """Waits until something can be written; whether it can, or the other end hung up."""
    return bool(_wait([fd], select.POLLOUT, seconds))


def _wait(fds: Sequence[int], event: int, seconds: float) -> set[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, event)
    return {fd for fd, _ in poll.poll(max(seconds, 0.0) * 1000)}
