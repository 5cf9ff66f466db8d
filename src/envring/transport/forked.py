# SPDX-License-Identifier: MIT
"""What a forked copy of this process must not keep open."""

from __future__ import annotations

import os
import weakref
from typing import Any

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
