# SPDX-License-Identifier: MIT
"""Detecting the caller's end, whatever an env is doing.

A thread waits until the other end of the caller's pipe, or of the channel, is closed. The process
then has a grace period to close the envs and exit, and is killed after that, because an env may
wait for ever. The thread runs in the library if that loads: then it needs no interpreter's lock.
"""

from __future__ import absolute_import, division, print_function

import os
import signal
import sys
import threading
import time

from . import guard
from .apart import run_apart
from .stream import wait_for


def watch_caller(lifeline_fd, channel_fd, caller, grace, library):
    """Makes the process end within `grace` seconds of the caller's end.

    Args:
        lifeline_fd: read end of a pipe whose write end only the caller holds, or -1.
        channel_fd: where the caller's messages come from.
        caller: the caller's process id, as the caller knows it.
        grace: seconds that the envs have to close.
        library: the native library, or None.

    Returns:
        A function that returns whether the caller is gone.
    """
    fd = channel_fd if lifeline_fd < 0 else lifeline_fd
    if library is None:
        guard.guard_lifeline(fd, grace)
        watch = _HangupWatch(fd, grace)
        thread = threading.Thread(target=watch.run, name="envring-hangup")
        thread.daemon = True
        thread.start()
        return watch.is_cut
    if lifeline_fd < 0:
        fd = os.dup(channel_fd)
    if os.getppid() != caller:  # a sandbox, a container, a script: its end does not wake us
        library.guard_lifeline(fd, grace)
    run_apart(library, "envring-hangup", [fd], library.watch_lifeline, fd, grace)
    return library.lifeline_cut


class _HangupWatch(object):
    """The thread in Python, which needs the GIL to run."""

    def __init__(self, fd, grace):
        self.fd = fd
        self.grace = grace
        self.cut = False
        self.in_python2 = sys.version_info[0] == 2

    def is_cut(self):
        return self.cut

    def run(self):
        try:
            wait_for(self.fd, 0, None)  # poll always reports hang-ups
            self.cut = True
            time.sleep(self.grace)
            os.kill(os.getpid(), signal.SIGKILL)
            os._exit(1)  # a container's first process ignores its own SIGKILL
        except:  # noqa: E722  (even the names of exceptions are gone in the end)
            if not self.in_python2:  # which sets all globals to None when it ends, one by one
                raise
