# SPDX-License-Identifier: MIT
"""Run by a spawned worker before it imports anything of its caller's; see `local.py`.

Not a module: it is run by its path, because sys.path is not yet the caller's. Whatever fails here
costs the worker its early watch, nothing else.
"""

import contextlib
import ctypes
import signal
import threading

FD, LIBRARY, GRACE = globals()["FD"], globals()["LIBRARY"], globals()["GRACE"]


def arm() -> None:
    """Has the worker end with its caller, and leaves Ctrl-C to the caller."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fd = FD.detach()
    library = ctypes.CDLL(LIBRARY)
    taken = threading.Event()

    def watch() -> None:
        library.er_keep_only((ctypes.c_int * 1)(fd), 1)
        taken.set()
        library.er_lifeline_watch(fd, ctypes.c_int64(int(GRACE * 1e9)))

    threading.Thread(target=watch, name="envring-lifeline", daemon=True).start()
    taken.wait()


with contextlib.suppress(Exception):
    arm()
