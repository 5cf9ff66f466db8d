# SPDX-License-Identifier: MIT
"""What a forked copy of this process must not keep open."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

starting = threading.RLock()
"""Held while another program is started: a copy that is forked meanwhile, which goes on without
one, would keep open what only the new process is to have, and whoever waits for that would hang."""

_owned: weakref.WeakSet[Any] = weakref.WeakSet()


def own(thing: Any) -> None:
    """Has a forked copy of this process close the thing."""
    _owned.add(thing)


def _after_fork_in_child() -> None:
    # Copies of our ends in a forked child would keep workers from seeing this process die.
    for owner in list(_owned):
        owner.close()
    _owned.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
os.register_at_fork(
    before=starting.acquire, after_in_parent=starting.release, after_in_child=starting.release
)
