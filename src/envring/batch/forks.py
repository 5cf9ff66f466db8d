# SPDX-License-Identifier: MIT
"""Forked copies of this process, which have the arrays that were handed out.

An array that lies in a slot must not change in a copy either, and no lease tells of that one. So
the slots that are leased at a fork are not written again while the copy may live. A pipe says how
long that is: the copy has its write end, and does nothing with it.
"""

from __future__ import annotations

import os
import weakref

from envring.core import _core
from envring.transport.polling import readable

_all: weakref.WeakSet[ForkedCopies] = weakref.WeakSet()


class ForkedCopies:
    """Keeps the slots that forked copies of this process see."""

    def __init__(self, slots: _core.SlotPool) -> None:
        """Begins without copies."""
        self._slots = slots
        self._forking: tuple[int, int, list[int]] | None = None
        self._pinned: dict[int, list[int]] = {}  # by the read end of a copy's pipe
        me = weakref.ref(self)
        slots.unpin_some = lambda: (copies := me()) is not None and copies.unpin_dead()
        weakref.finalize(self, _close, self._pinned)
        _all.add(self)

    def unpin_dead(self) -> bool:
        """Frees slots of copies that ended; whether there were any."""
        ended = readable(list(self._pinned), 0) if self._pinned else []
        for end in ended:
            self._slots.unpin(self._pinned.pop(end))
            os.close(end)
        return bool(ended)

    def fork_begins(self) -> None:
        """Pins what is leased."""
        self.unpin_dead()
        slots = self._slots.pin()
        if slots:
            self._forking = (*os.pipe(), slots)

    def is_original(self) -> None:
        """After the fork, in the process that did it."""
        if self._forking is not None:
            read_end, write_end, slots = self._forking
            self._forking = None
            os.close(write_end)
            self._pinned[read_end] = slots

    def is_copy(self) -> None:
        """After the fork, in the copy: closes all but what it holds for the original."""
        for end in self._pinned:
            os.close(end)
        self._pinned.clear()
        if self._forking is not None:
            os.close(self._forking[0])
            self._forking = None


def _close(pinned: dict[int, list[int]]) -> None:
    for end in pinned:
        os.close(end)
    pinned.clear()


def _call(name: str) -> None:
    for copies in list(_all):
        getattr(copies, name)()


os.register_at_fork(
    before=lambda: _call("fork_begins"),
    after_in_parent=lambda: _call("is_original"),
    after_in_child=lambda: _call("is_copy"),
)
