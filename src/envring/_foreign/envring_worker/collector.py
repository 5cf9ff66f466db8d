# SPDX-License-Identifier: MIT
"""Keeps the garbage collector away from modules.

The collector traverses all objects several times when a process ends. Those of modules, which are
most of them, are never garbage: leaving them out has a worker end in a quarter of the time.
"""

from __future__ import absolute_import, division, print_function

import gc

_is_armed = False


def arm():
    """Has the next `spare` work: this process is a worker's own."""
    global _is_armed
    _is_armed = hasattr(gc, "freeze")  # Python 3.7


def spare():
    """Leaves out what there is now; once, and only in a worker: envs have to be collected."""
    global _is_armed
    if _is_armed:
        _is_armed = False
        gc.freeze()  # novm
