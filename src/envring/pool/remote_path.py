# SPDX-License-Identifier: MIT
"""The short way through steps on a host: frames that are sent and received by compiled code."""

from __future__ import annotations

from typing import Any

from envring._foreign.envring_worker.data import actions as codes
from envring.core import _core
from envring.pool.mirror import STEP_KINDS, ActionRows, Mirror
from envring.transport.frames import Link

_SLEEP = 0.03  # seconds of a receive: less than the 50 ms for which the short way waits


def open_path(
    link: Link, actions: ActionRows, mirror: Mirror, number: int, *parts: Any
) -> _core.RemotePath:
    """The short way over a connection.

    Args:
        link: the connection.
        actions: where actions are.
        mirror: where results go.
        number: of the last batch.
        parts: what a batcher gives; see `StepParts`.
    """
    sent = _core.FrameParts(actions.views(codes.SLAB))
    fd, sleep_ns = link.fileno(), link.sleep_in_receives(_SLEEP)
    path = _core.RemotePath(fd, sleep_ns, STEP_KINDS, sent, mirror.arrays, *parts)
    if link.packing is not None:
        slow_ns = link.packing.slow_ns(sum(view.nbytes for view in mirror.arrays(0)))
        path.watch(slow_ns, link.packing.came)
    path.number = number
    return path
