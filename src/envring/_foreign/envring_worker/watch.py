# SPDX-License-Identifier: MIT
"""Noticing that the caller is gone where the library's lifeline is not to be had."""

from __future__ import absolute_import, division, print_function

import os
import signal
import threading
import time

from .stream import wait_for


class HangupWatch(object):
    """A thread that sleeps until nobody holds the other end of a descriptor any more.

    The process has `grace` seconds from then to close its envs and leave, and is killed after that:
    an env may be waiting for something that will never come.

    Attributes:
        cut: whether the caller is gone.
    """

    def __init__(self, fd, grace):
        self.fd = fd
        self.grace = grace
        self.cut = False
        thread = threading.Thread(target=self._run, name="envring-hangup")
        thread.daemon = True
        thread.start()

    def _run(self):
        wait_for(self.fd, 0, None)
        self.cut = True
        time.sleep(self.grace)
        os.kill(os.getpid(), signal.SIGKILL)
