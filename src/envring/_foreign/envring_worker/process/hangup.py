# SPDX-License-Identifier: MIT
"""Noticing that the caller is gone, whatever an env may be doing.

Where the library loads and the caller's pipe was inherited, the library's lifeline does it by a
signal. Elsewhere a thread sleeps until nobody is at the other end any more; the process then has
its grace to close the envs and leave, and is killed after that: an env may wait for something that
will never come.
"""

from __future__ import absolute_import, division, print_function

import os
import signal
import threading
import time

from .stream import wait_for


def watch_caller(lifeline_fd, channel_fd, grace, library):
    """Has the process end within `grace` seconds of the caller's end.

    Args:
        lifeline_fd: read end of a pipe whose write end the caller alone holds, or -1.
        channel_fd: where the caller's messages come from.
        grace: seconds.
        library: the native library, or None.

    Returns:
        A function that says whether the caller is gone.
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
    """The thread in Python: it needs the interpreter's lock to do anything."""

    def __init__(self, fd, grace):
        self.fd = fd
        self.grace = grace
        self.cut = False

    def is_cut(self):
        return self.cut

    def run(self):
        wait_for(self.fd, 0, None)  # hang-ups are told unasked
        self.cut = True
        time.sleep(self.grace)
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(1)  # the first process of a container survives its own signals
