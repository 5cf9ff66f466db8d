# SPDX-License-Identifier: MIT
"""Run by a spawned worker before it imports anything of its caller's; see `local.py`.

Not a module: it is run by its path, because sys.path is not yet the caller's. Whatever fails here
costs the worker its early watch, nothing else.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
from multiprocessing import forkserver
from typing import Any

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


def let_go_of_fork_server() -> None:
    """Has the fork server end with the caller: its end is what wakes a stopped worker."""
    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = server._forkserver_address = None  # envs may start their own


# tells `local.py` that this process imports its caller's main module, until it is told what to run
multiprocessing.current_process().imports_for_envring = True  # type: ignore[attr-defined]
with contextlib.suppress(Exception):
    arm()
with contextlib.suppress(Exception):
    let_go_of_fork_server()
