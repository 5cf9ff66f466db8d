# SPDX-License-Identifier: MIT
"""Descriptors that workers cost their caller."""

from __future__ import annotations

import os
import resource

from envring.errors import LaunchError

PER_WORKER = 3  # channel, stderr, and what tells its end
_SLACK = 64  # for a start under way, and for whatever else this process opens


def make_room(num_workers: int) -> None:
    """Raises this process's soft limit of open files if so many more workers need it.

    Raises:
        LaunchError: the hard limit forbids it.
    """
    needed = len(os.listdir("/proc/self/fd")) + PER_WORKER * num_workers + _SLACK
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LaunchError(
            f"{num_workers} workers need {needed} open files in this process, but its limit is "
            f"{hard}. Raise it (ulimit -n {needed}), or let each worker hold more envs: "
            "num_workers=..."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def fill_standard() -> None:
    """Opens /dev/null as each of stdin, stdout and stderr that is closed.

    Otherwise the next descriptors would get these numbers, and a worker replaces what has them.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
