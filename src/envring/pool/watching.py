# SPDX-License-Identifier: MIT
"""Watches workers, so that a caller that waits learns at once when one of them ends."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence

from envring.core import _core
from envring.transport.segment import MappedSegment

_watches: weakref.WeakSet[_core.DeathWatch] = weakref.WeakSet()
_stopped: list[_core.DeathWatch] = []


def watch(segment: MappedSegment, pidfds: Sequence[int]) -> _core.DeathWatch:
    """Watches these workers; to be stopped before their pidfds are closed."""
    watch = _core.DeathWatch(segment.core, pidfds)
    if watch.start():  # without it the slices of a wait do
        _watches.add(watch)
    return watch


def unwatch(watch: _core.DeathWatch) -> None:
    """Ends a watch."""
    _watches.discard(watch)
    watch.stop()


# A process that forks should have one thread: Python warns of more, and is right in general.


def _before_fork() -> None:
    _stopped[:] = _watches
    for watch in _stopped:
        watch.stop()


def _after_fork_in_parent() -> None:
    for watch in _stopped:
        if watch in _watches:  # another thread may have ended it
            watch.start()
    _stopped.clear()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_stopped.clear
)
