# SPDX-License-Identifier: MIT
"""Mapping a file into memory."""

from __future__ import absolute_import, division, print_function

import fcntl
import mmap
import os


def map_file(fd, nbytes):
    """Maps the first bytes of an open file as shared, writable memory."""
    # Python 2 keeps a copy of the descriptor, which programs that an env starts would inherit.
    copy = os.dup(fd)
    os.close(copy)
    mapped = mmap.mmap(fd, nbytes)
    try:
        if os.path.samestat(os.fstat(copy), os.fstat(fd)):
            fcntl.fcntl(copy, fcntl.F_SETFD, fcntl.fcntl(copy, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)
    except OSError:
        pass  # there is no such copy
    return mapped
