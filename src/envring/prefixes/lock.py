# SPDX-License-Identifier: MIT
"""One builder at a time: a lock that ends with the last process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL = 0.05  # seconds


def _same_file(fd: int, path: Path) -> bool:
    """Whether a name still leads to what was opened: a remover may have been quicker."""
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
    """Holds the lock; children that inherit the descriptor hold it with us until we let go.

    So a builder that is killed leaves the lock to what it has started, and nobody builds in a
    directory where a forgotten installer still writes.

    Args:
        path: the lock's file; its directory is made.
        deadline: time.monotonic() at which to give up.
        waiting: called again and again while another process has it, with that one's id or None.

    Yields:
        The descriptor.

    Raises:
        TimeoutError: if the deadline passes.
        OSError: if the file cannot be made.
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
            # for children, too: a server that a setup file has started must not keep the lock
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


def holder(fd: int) -> int | None:
    """The process that took the lock last."""
    text = os.pread(fd, 32, 0)
    return int(text) if text.isdigit() else None


def is_held(path: Path) -> bool:
    """Whether a process holds the lock now."""
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
    """Removes a held lock's file and its directory, if nobody has begun to use it again."""
    path.unlink()
    with contextlib.suppress(OSError):
        path.parent.rmdir()
