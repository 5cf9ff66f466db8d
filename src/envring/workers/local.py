# SPDX-License-Identifier: MIT
"""Workers in the caller's interpreter, started by multiprocessing: fork, forkserver or spawn."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from envring.errors import EnvFnError, format_env_ids
from envring.transport.channel import Channel
from envring.transport.forked import own
from envring.workers import local_main
from envring.workers.handle import WorkerHandle
from envring.workers.lifeline import Lifeline
from envring.workers.options import WorkerOptions
from envring.workers.stderr import StderrPipe


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


def start(
    context: Any,
    daemon: bool,
    name: str,
    options: WorkerOptions,
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
        lifeline: the pipe that tells it when this process ends.

    Raises:
        EnvFnError: env_fns cannot be sent to the worker.
    """
    ours, theirs = Channel.pair()
    own(ours)
    errors = StderrPipe()
    own(errors)
    # Copies: a forked child closes the originals, which are this process's.
    fds = [
        os.dup(fd) for fd in (errors.read_end, errors.write_end, errors.tail_fd, lifeline.read_end)
    ]
    env_ids = range(options.first_env, options.first_env + len(env_fns))
    process = context.Process(
        target=_run_child,
        name=name,
        args=(options, local_main.CloudpickledFns(env_fns), theirs, [_Fd(fd) for fd in fds]),
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
                "inside the function, or use context='fork'."
            ) from error
        raise
    finally:
        theirs.close()
        for fd in fds:
            os.close(fd)
    errors.started()
    return WorkerHandle(env_ids, process, ours, errors)


def _run_child(
    options: WorkerOptions,
    fns: local_main.CloudpickledFns,
    sock: socket.socket,
    pipes: Sequence[_Fd],
) -> None:
    local_main.main(options, fns, sock, pipes)


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
    """Multiprocessing's context of that name; raises ValueError if there is none."""
    return multiprocessing.get_context(context)
