# SPDX-License-Identifier: MIT
"""Files in memory whose size no process can change.

A worker, and with it an env, holds the descriptors of what it shares with the caller. If it could
shrink such a file, the caller would die of SIGBUS at its next look.
"""

from __future__ import annotations

import fcntl
import os

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def make_file(name: str) -> int:
    """The descriptor of an empty file in memory, which `seal_size` gives its size."""
    return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def seal_size(fd: int, size: int) -> None:
    """Gives a file of `make_file` its final size.

    Raises:
        OSError: there is not enough memory, or another process has touched the file.
    """
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    # only now is it certain: whoever holds the descriptor may have been quicker
    if os.fstat(fd).st_size != size:
        raise OSError(f"a shared file has {os.fstat(fd).st_size} bytes instead of {size}")


def make_sealed_file(name: str, size: int) -> int:
    """The descriptor of a file in memory of this size for ever."""
    fd = make_file(name)
    try:
        seal_size(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd
