# SPDX-License-Identifier: MIT
"""One builder at a time: a file lock that ends with the last process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL = 0.05  # seconds


def _same_file(fd: int, path: Path) -> bool:
    """Returns whether a path still names the opened file: it may have been removed meanwhile."""
    try:
        here = os.stat(path)
    except FileNotFoundError:
        return False
    there = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _open(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue  # the directory was removed meanwhile


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def hold(
    path: Path, deadline: float, waiting: Callable[[int | None], None] | None = None
) -> Iterator[int]:
    """Holds the lock; children that inherit the descriptor hold it too, until this process lets go.

    So when a builder is killed, the programs that it started keep the lock, and no other builder
    uses a directory in which an installer still writes.

    Args:
        path: the lock's file; its directory is created.
        deadline: time.monotonic() at which to give up.
        waiting: called repeatedly while another process holds the lock, with its id or None.

    Yields:
        The descriptor.

    Raises:
        TimeoutError: the deadline has passed.
        OSError: the file cannot be created.
    """
    while True:
        fd = _open(path)
        try:
            while not _try(fd):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"'{path}' is held by process {holder(fd)}")
                if waiting is not None:
                    waiting(holder(fd))
                time.sleep(_POLL)
            if not _same_file(fd, path):
                continue
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
            yield fd
            return
        finally:
            # unlocks for children, too: a server that a setup file started must not keep the lock
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


def holder(fd: int) -> int | None:
    """Returns the id of the process that took the lock last, or None."""
    text = os.pread(fd, 32, 0)
    return int(text) if text.isdigit() else None


def is_held(path: Path) -> bool:
    """Returns whether a process holds the lock now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def discard(path: Path) -> None:
    """Removes a held lock's file, and its directory if it is empty."""
    path.unlink()
    with contextlib.suppress(OSError):
        path.parent.rmdir()
