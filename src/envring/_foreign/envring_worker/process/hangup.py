# SPDX-License-Identifier: MIT
"""Detecting the caller's end, whatever an env is doing.

If the library loads and the process inherited the caller's pipe, the library's lifeline does it by
a signal. Otherwise a thread waits until the other end is closed. The process then has a grace
period to close the envs and exit, and is killed after that, because an env may wait for ever.
"""

from __future__ import absolute_import, division, print_function

import os
import signal
import threading
import time

from .stream import wait_for


def watch_caller(lifeline_fd, channel_fd, grace, library):
    """Makes the process end within `grace` seconds of the caller's end.

    Args:
        lifeline_fd: read end of a pipe whose write end only the caller holds, or -1.
        channel_fd: where the caller's messages come from.
        grace: seconds that the envs have to close.
        library: the native library, or None.

    Returns:
        A function that returns whether the caller is gone.
    """
    if library is None:
        watch = _HangupWatch(channel_fd if lifeline_fd < 0 else lifeline_fd, grace)
        _start(watch.run)
        return watch.is_cut
    if lifeline_fd < 0:
        _start(library.watch, channel_fd, grace)
    else:
        library.arm_lifeline(lifeline_fd, grace)
    return library.lifeline_cut


def _start(target, *args):
    thread = threading.Thread(target=target, args=args, name="envring-hangup")
    thread.daemon = True
    thread.start()


class _HangupWatch(object):
    """The thread in Python, which needs the GIL to run."""

    def __init__(self, fd, grace):
        self.fd = fd
        self.grace = grace
        self.cut = False

    def is_cut(self):
        return self.cut

    def run(self):
        wait_for(self.fd, 0, None)  # poll always reports hang-ups
        self.cut = True
        time.sleep(self.grace)
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)  # a container's first process ignores its own SIGKILL
