# SPDX-License-Identifier: MIT
"""What multiprocessing's fork server imports before its first worker, so that none has to.

Importing this module by its name imports the whole package, with NumPy and Gymnasium. The server
has the workers' number of BLAS threads in its environment meanwhile, because a worker could change
that number only by starting a thread. Afterwards the environment is the caller's again: others use
the server, too.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from multiprocessing import forkserver
from typing import Any

from envring.workers.blas import VARIABLES

_BEFORE = "_ENVRING_BEFORE"  # the caller's values of what was set for the server


@contextlib.contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """While this lasts, variables have other values; None removes one."""
    before = {name: os.environ.get(name) for name in changes}
    _apply(changes)
    try:
        yield
    finally:
        _apply(before)


def preload(module: str) -> None:
    """Has the fork server import a module, too, if it is still to be started."""
    server: Any = forkserver._forkserver
    if module not in server._preload_modules:
        server.set_forkserver_preload([*server._preload_modules, module])


def start_fork_server(environ: Mapping[str, str | None]) -> None:
    """Starts the fork server if there is none, which then imports what workers need.

    Args:
        environ: environment variables of the workers.
    """
    server: Any = forkserver._forkserver
    _forget_anothers(server)
    # the caller's main module may be one that must not be imported: each worker tells its caller
    names = [name for name in server._preload_modules if name not in ("__main__", __name__)]
    server.set_forkserver_preload([*names, __name__])
    changes = {name: environ[name] for name in VARIABLES if name in environ}
    before = json.dumps({name: os.environ.get(name) for name in changes})
    with environment({**changes, _BEFORE: before}):
        server.ensure_running()


def _forget_anothers(server: Any) -> None:
    """Forgets the fork server of the process that this one is a forked copy of.

    multiprocessing would look after it as after a child of this process, which raises an error.
    """
    if server._forkserver_pid is None:
        return
    try:
        os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = server._forkserver_address = server._forkserver_pid = None


def _apply(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


_apply(json.loads(os.environ.pop(_BEFORE, "{}")))
