# SPDX-License-Identifier: MIT
"""Threads of the C core, with descriptors that an env cannot close."""

from __future__ import absolute_import, division, print_function

import os
import threading


def run_apart(core, name, fds, target, *arguments):
    """Starts a thread that takes descriptors over.

    It has a table of descriptors of its own, where the kernel permits that: what an env closes
    by number is then not what the thread uses.

    Args:
        core: the native library or the extension module.
        name: of the thread.
        fds: descriptors that it takes over.
        target: what it runs.
        *arguments: what that is called with.
    """
    taken = threading.Event()
    separate = []

    def run():
        try:
            separate.append(core.keep_only(fds))
        finally:
            taken.set()
        target(*arguments)

    thread = threading.Thread(target=run, name=name)
    thread.daemon = True
    thread.start()
    taken.wait()
    if separate[0]:
        for fd in fds:
            os.close(fd)
