# SPDX-License-Identifier: MIT
"""Workers in the caller's interpreter, started by multiprocessing: fork, forkserver or spawn."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import popen_forkserver, util
from pathlib import Path
from typing import Any

from envring.errors import EnvFnError, format_env_ids
from envring.transport.channel import Channel
from envring.transport.forked import own
from envring.workers import local_main
from envring.workers.handle import WorkerHandle
from envring.workers.lifeline import GRACE, LIBRARY, Lifeline
from envring.workers.options import WorkerOptions
from envring.workers.preload import environment, start_fork_server
from envring.workers.stderr import StderrPipe

REIMPORTED = 113  # exit code of a worker whose caller's main module starts workers when imported


class _Name(str):
    """A process's name that arms the watch of a spawned worker when it is unpickled.

    It is the first of the caller's values that such a process reads, before it imports the
    caller's main module, which may take long.
    """

    lifeline = -1

    def __reduce__(self) -> Any:
        from multiprocessing import reduction

        fd, self.lifeline = self.lifeline, -1
        if fd < 0 or not LIBRARY.exists():
            return str, (str(self),)
        return eval, (
            "__import__('runpy').run_path(PATH, {'FD': FD, 'LIBRARY': LIBRARY, 'GRACE': GRACE}) "
            "and NAME",
            {
                "PATH": str(Path(__file__).with_name("early.py")),
                "FD": reduction.DupFd(fd),
                "LIBRARY": str(LIBRARY),
                "GRACE": GRACE,
                "NAME": str(self),
            },
        )


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
    prelude: Any = None,
) -> WorkerHandle:
    """Starts one worker.

    Args:
        context: a multiprocessing context.
        daemon: the process's daemon flag; daemons may not have children of multiprocessing.
        name: the process's name.
        options: how it is to run.
        env_fns: functions that build its envs.
        lifeline: the pipe that tells it when this process ends.
        prelude: what is pickled with env_fns, and unpickled before them.

    Raises:
        EnvFnError: env_fns cannot be sent to the worker.
    """
    method = context.get_start_method()
    forks = method == "fork"
    if not forks:
        _leave_if_reimported()
    ours, theirs = Channel.pair()
    own(ours)
    errors = StderrPipe()
    own(errors)
    # Copies: a forked child closes the originals, which are this process's.
    fds = [
        os.dup(fd) for fd in (errors.read_end, errors.write_end, errors.tail_fd, lifeline.read_end)
    ]
    copies = list(fds)
    if not forks:
        name = _Name(name)
        name.lifeline = os.dup(lifeline.read_end)
        copies.append(name.lifeline)
    env_ids = range(options.first_env, options.first_env + len(env_fns))
    fns = local_main.CloudpickledFns(env_fns, prelude)
    process = context.Process(
        target=_run_child,
        name=name,
        args=(options, fns, theirs, [_Fd(fd) for fd in fds]),
        daemon=daemon,
    )
    try:
        with _without_mpi_variables():
            if method == "forkserver":
                start_fork_server(options.environ)
            # a spawned process loads libraries before it reads its options
            with environment(options.environ if method == "spawn" else {}):
                process.start()
    except BaseException as error:
        ours.close()
        errors.close()
        if process.pid is not None:  # Ctrl-C came right after its start
            process.kill()
            process.join()
        if (
            isinstance(error, (AttributeError, TypeError))
            or "pickle" in type(error).__name__.lower()
        ):
            raise EnvFnError(
                f"The env_fns of {format_env_ids(env_ids)} cannot be sent to a worker process "
                f"started by {method}: {error}. Build what does not pickle "
                "inside the function, or use context='fork'."
            ) from error
        raise
    finally:
        theirs.close()
        for fd in copies:
            os.close(fd)
    errors.started()
    return WorkerHandle(env_ids, process, ours, errors, ended_fd=_one_descriptor(process))


def _run_child(
    options: WorkerOptions,
    fns: local_main.CloudpickledFns,
    sock: socket.socket,
    pipes: Sequence[_Fd],
) -> None:
    local_main.main(options, fns, sock, pipes)


def _leave_if_reimported() -> None:
    """Ends a worker that starts workers while it imports its caller's main module.

    Multiprocessing would raise an error there: once per worker, and of many lines.
    """
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False) and hasattr(process, "imports_for_envring"):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(REIMPORTED)


def _one_descriptor(process: Any) -> int | None:
    """Leaves one descriptor of a process open here: it can be read when the process has ended.

    Multiprocessing has two: a pipe that its child holds as well, and one by which a child learns of
    this process's end. The first becomes a pidfd, unless a fork server writes the exit code to it;
    workers have their lifeline in the place of the second (see `local_main.py`).
    """
    popen = process._popen
    try:
        sentinel, closer = popen.sentinel, popen.finalizer
        (other,) = set(closer._args) - {sentinel}
        if not isinstance(popen, popen_forkserver.Popen):
            pidfd = os.pidfd_open(process.pid)
            os.dup2(pidfd, sentinel, inheritable=False)
            os.close(pidfd)
        closer.cancel()
        popen.finalizer = util.Finalize(popen, util.close_fds, (sentinel,))  # type: ignore[attr-defined]
        os.close(other)
    except (AttributeError, TypeError, ValueError, IndexError):
        return None  # another multiprocessing than those that are known: costs descriptors
    return int(sentinel)


@contextlib.contextmanager
def without_interrupts(forks: bool) -> Iterator[None]:
    """Ctrl-C waits while a worker is forked; the worker unblocks it once it ignores it."""
    if not forks:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
