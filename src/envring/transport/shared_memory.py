# SPDX-License-Identifier: MIT
"""Shared memory with a name, which only this user may open."""

from __future__ import annotations

import contextlib
import errno

import posix_ipc

FOLDER = "/dev/shm"  # where Linux shows it


def open_named(name: str, *, make: bool = False) -> int:
    """A descriptor of the memory of this name, which begins with "/".

    Args:
        name: its name.
        make: whether it is made, empty; there must be none of this name.

    Raises:
        OSError: it cannot be made or opened.
    """
    try:
        memory = posix_ipc.SharedMemory(name, posix_ipc.O_CREX if make else 0, mode=0o600)
    except posix_ipc.Error as error:  # which is not an OSError
        raise OSError(errno.EACCES, f"shared memory {name}: {error}") from error
    return int(memory.fd)  # closed on exec, and not by `memory`


def remove_named(name: str) -> None:
    """Removes a name, if it is there; processes that have opened the memory keep it."""
    with contextlib.suppress(posix_ipc.ExistentialError):
        posix_ipc.unlink_shared_memory(name)
