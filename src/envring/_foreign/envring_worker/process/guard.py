# SPDX-License-Identifier: MIT
"""A process that ends a worker which has no library and does not notice that the caller is gone.

A worker that is stopped runs no thread, and neither does one that holds the interpreter's lock.
With the library, its guard does the same (`er_lifeline_guard`).
"""

from __future__ import absolute_import, division, print_function

import errno
import os
import select
import signal
import time

EVERY = 1.0  # seconds between looks at a worker whose env left a process behind
MORE = 0.5  # seconds beyond the grace


def guard_lifeline(fd, grace):
    """Starts a guard, which ends with this process.

    Args:
        fd: its other end is closed when the caller ends.
        grace: seconds that the worker has to end by itself then.
    """
    worker = os.getpid()
    born = _born(worker)
    alive, _ = os.pipe()  # the other end stays open in the worker alone, and tells of its end
    child = os.fork()
    if child:
        os.close(alive)
        os.waitpid(child, 0)
        return
    try:
        if os.fork() == 0:  # not the worker's child, for which an env may wait
            os.setsid()  # who stops the worker's group does not stop this one
            _keep_only(fd, alive)
            _guard(worker, born, fd, alive, grace)
    finally:
        os._exit(0)


def _guard(worker, born, fd, alive, grace):
    while not _hung_up(fd, alive, EVERY):
        if _born(worker) != born:
            return
    if _hung_up(alive, alive, 0) or not _tell(worker, born, signal.SIGCONT):
        return
    deadline = time.time() + grace + MORE
    while time.time() < deadline:
        if _hung_up(alive, alive, 0.05) and _born(worker) != born:
            return
        time.sleep(0.01)
    _tell(worker, born, signal.SIGKILL)


def _hung_up(one, other, seconds):
    """Whether the other end of one of these descriptors is closed within the time."""
    poll = select.poll()
    poll.register(one, 0)
    poll.register(other, 0)
    try:
        return bool(poll.poll(int(seconds * 1000)))
    except (OSError, IOError, select.error) as error:
        if error.args[0] != errno.EINTR:
            raise
        return False


def _tell(worker, born, number):
    """Sends a signal; returns whether the worker is there."""
    if _born(worker) != born:
        return False
    os.kill(worker, number)
    return True


def _born(pid):
    """When a process was started, in the kernel's ticks; None if there is none any more."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (OSError, IOError):
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19]


def _keep_only(*fds):
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in fds:
            try:
                os.close(int(name))
            except OSError:  # the directory's own
                pass
