# SPDX-License-Identifier: MIT
"""Workers in the caller's interpreter, started by multiprocessing: fork, forkserver or spawn."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import socket
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from envring.channel import Channel
from envring.errors import EnvFnError, WorkerDied, format_env_ids
from envring.launchers import child
from envring.launchers.stderr import StderrPipe

_PATIENCE = 1.0  # seconds between SIGTERM and SIGKILL


class _Fd:
    """A descriptor that reaches the worker under every start method."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __getstate__(self) -> Any:
        from multiprocessing import reduction

        return reduction.DupFd(self.fd)  # forkserver and spawn

    def __setstate__(self, state: Any) -> None:
        self.fd = state.detach()

    def detach(self) -> int:
        return self.fd


class Lifeline:
    """A pipe whose write end closes when this process ends: workers watch the read end."""

    def __init__(self) -> None:
        """Makes the pipe."""
        self.read_end, self.write_end = os.pipe()
        _owned.add(self)

    def close(self) -> None:
        """Closes what is open."""
        for name in ("read_end", "write_end"):
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)


class WorkerHandle:
    """A worker process, from the caller's side.

    Attributes:
        env_ids: the envs it holds.
        channel: control channel.
        process: multiprocessing's process object.
    """

    def __init__(
        self,
        env_ids: Sequence[int],
        process: Any,
        channel: Channel,
        errors: StderrPipe,
    ) -> None:
        """Takes over a process that was just started."""
        self.env_ids = tuple(env_ids)
        self.process = process
        self.channel = channel
        self.errors = errors
        self.pid: int = process.pid
        self.pidfd = os.pidfd_open(self.pid)
        self._death: WorkerDied | None = None
        _owned.add(self)

    def is_dead(self, timeout: float = 0.0) -> bool:
        """Whether the process ended; waits so many seconds for it."""
        if self.pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def death(self) -> WorkerDied:
        """The error that describes its death."""
        if self._death is None:
            self.process.join(0.5)
            code = self.process.exitcode
            tail = self.errors.drain()
            killed = code is not None and code < 0
            self._death = WorkerDied(
                self.env_ids,
                self.pid,
                None if killed else code,
                -code if killed else None,
                tail,
            )
        return self._death

    def stop(self, deadline: float) -> None:
        """Ends the process: asks by SIGTERM, and kills if it is still there at the deadline."""
        if not self.is_dead():
            self.process.terminate()
        if not self.is_dead(max(deadline - time.monotonic(), 0.0)):
            self.process.kill()
            self.is_dead(_PATIENCE)
        self.process.join(_PATIENCE)

    def release(self) -> None:
        """Lets go of what belongs to an ended process."""
        if self.pidfd >= 0:
            self.errors.drain()
        self.close()

    def close(self) -> None:
        """Closes descriptors only."""
        self.channel.close()
        self.errors.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


_owned: weakref.WeakSet[Any] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # Copies of our ends in a forked child would keep workers from seeing this process die.
    for owner in list(_owned):
        owner.close()
    _owned.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


def start(
    context: Any,
    daemon: bool,
    name: str,
    options: child.WorkerOptions,
    env_fns: Sequence[Callable[[], Any]],
    lifeline: Lifeline,
) -> WorkerHandle:
    """Starts one worker.

    Args:
        context: a multiprocessing context.
        daemon: the process's daemon flag; daemons may not have children of multiprocessing.
        name: the process's name.
        options: how it is to run.
        env_fns: functions that build its envs.
        lifeline: the pipe that tells it of our end.

    Raises:
        EnvFnError: env_fns cannot be sent to the worker.
    """
    ours, theirs = Channel.pair()
    _owned.add(ours)
    errors = StderrPipe()
    _owned.add(errors)
    # Copies, because a forked child closes all that is ours.
    fds = [
        os.dup(fd) for fd in (errors.read_end, errors.write_end, errors.tail_fd, lifeline.read_end)
    ]
    env_ids = range(options.first_env, options.first_env + len(env_fns))
    process = context.Process(
        target=_run_child,
        name=name,
        args=(options, child.CloudpickledFns(env_fns), theirs, [_Fd(fd) for fd in fds]),
        daemon=daemon,
    )
    try:
        with _without_mpi_variables():
            process.start()
    except Exception as error:
        ours.close()
        errors.close()
        if (
            isinstance(error, (AttributeError, TypeError))
            or "pickle" in type(error).__name__.lower()
        ):
            raise EnvFnError(
                f"The env_fns of {format_env_ids(env_ids)} cannot be sent to a worker process "
                f"started by {context.get_start_method()}: {error}. Build what does not pickle "
                "inside of the function, or use context='fork'."
            ) from error
        raise
    finally:
        theirs.close()
        for fd in fds:
            os.close(fd)
    errors.started()
    return WorkerHandle(env_ids, process, ours, errors)


def _run_child(
    options: child.WorkerOptions,
    fns: child.CloudpickledFns,
    sock: socket.socket,
    pipes: Sequence[_Fd],
) -> None:
    child.main(options, fns, sock, pipes)


@contextlib.contextmanager
def _without_mpi_variables() -> Iterator[None]:
    """An env that imports MPI must not take its process for a rank of the caller's job."""
    hidden = {k: v for k, v in os.environ.items() if k.startswith(("OMPI_", "PMI_"))}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def get_context(context: str | None) -> Any:
    """Multiprocessing's context of that name; ValueError if there is none."""
    return multiprocessing.get_context(context)
