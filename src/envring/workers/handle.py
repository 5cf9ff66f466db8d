# SPDX-License-Identifier: MIT
"""A worker process from the caller's side."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Protocol

from envring.errors import EnvringError, WorkerDied, format_env_ids
from envring.transport.channel import Channel
from envring.transport.forked import own
from envring.transport.polling import readable
from envring.workers.stderr import STACK_SIGNAL, StderrPipe

_PATIENCE = 1.0  # seconds between SIGTERM and SIGKILL


class Process(Protocol):
    """The part of multiprocessing's process objects that is used."""

    @property
    def pid(self) -> int | None:
        """Its process id."""

    @property
    def exitcode(self) -> int | None:
        """Its exit code, minus the signal that ended it, or None."""

    def join(self, timeout: float | None = None) -> None:
        """Waits for its end."""

    def terminate(self) -> None:
        """Asks it to end, by SIGTERM."""

    def kill(self) -> None:
        """Ends it, by SIGKILL."""


class WorkerHandle:
    """A worker process, from the caller's side.

    Attributes:
        env_ids: the envs it holds.
        channel: control channel.
        process: multiprocessing's process object, or one like it.
        foreign: whether it runs another interpreter, whose bytes are data and never unpickled.
        pidfd: a descriptor that can be read when the process has ended.
        reaping: seconds that a process whose channel closed may take to end.
    """

    reaping = 0.5

    def __init__(
        self,
        env_ids: Sequence[int],
        process: Process,
        channel: Channel,
        errors: StderrPipe,
        foreign: bool = False,
        ended_fd: int | None = None,
    ) -> None:
        """Takes over a process that was just started.

        Args:
            env_ids: the envs it holds.
            process: the process.
            channel: control channel.
            errors: its stderr.
            foreign: whether it runs another interpreter.
            ended_fd: what can be read when it has ended, if the process has such a descriptor.
        """
        assert process.pid is not None
        self.foreign = foreign
        self.env_ids = tuple(env_ids)
        self.process = process
        self.channel = channel
        self.errors = errors
        self.pid: int = process.pid
        self._owns_pidfd = ended_fd is None
        self.pidfd = os.pidfd_open(self.pid) if ended_fd is None else ended_fd
        self._death: tuple[Any, ...] | None = None  # not the error: its traceback holds the pool
        own(self)

    def is_dead(self) -> bool:
        """Whether the process ended."""
        return self.wait_until_dead(0.0)

    def wait_until_dead(self, timeout: float) -> bool:
        """Waits for the process to end, for so many seconds; whether it ended."""
        if self.pidfd < 0:
            return True
        return bool(readable([self.pidfd], timeout))

    def wait_until_left(self, timeout: float) -> bool:
        """Waits until nobody of a process that ended can write into the segment any more."""
        return True

    def death(self) -> WorkerDied:
        """The error that describes its death."""
        if self._death is None:
            code = self.process.exitcode
            if code is None:
                self.process.join(self.reaping)
                code = self.process.exitcode
            tail = self.errors.drain()
            signal = -code if code is not None and code < 0 else None
            code = code if signal is None else None
            self._death = (self.env_ids, self.pid, code, signal, tail)
        return WorkerDied(*self._death)

    def python_stack(self, timeout: float) -> str:
        """The Python stacks of all its threads, whatever they do; "" if it cannot tell.

        A stopped process cannot, nor can Python 2, nor a container.
        """
        pid = catching(self.pid, STACK_SIGNAL)
        if pid is None:
            return ""
        try:
            os.kill(pid, STACK_SIGNAL)
        except ProcessLookupError:
            return ""
        return self.errors.wait_for_stack(timeout)

    def stop(self, deadline: float) -> None:
        """Ends the process: asks by SIGTERM, and kills if it is still there at the deadline."""
        if not self.is_dead():
            self.process.terminate()
        if not self.wait_until_dead(max(deadline - time.monotonic(), 0.0)):
            self.process.kill()
            self.wait_until_dead(_PATIENCE)
        self.process.join(_PATIENCE)

    def release(self) -> None:
        """Passes on the rest of its stderr and closes descriptors."""
        if self.pidfd >= 0:
            self.errors.drain()
        self.close()

    def close(self) -> None:
        """Closes descriptors only."""
        self.channel.close()
        self.errors.close()
        if self.pidfd >= 0:
            if self._owns_pidfd:
                os.close(self.pidfd)
            self.pidfd = -1


def catching(pid: int, number: int) -> int | None:
    """The process, or the first one below it, that runs and has a handler for the signal.

    A signal without a handler would end it. A worker in a sandbox is below the process known here.
    """
    layer = [pid]
    while layer:
        children: list[int] = []
        for each in layer:
            try:
                with open(f"/proc/{each}/status", encoding="utf-8", errors="replace") as file:
                    fields = dict(
                        line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line
                    )
                if int(fields["SigCgt"], 16) >> (number - 1) & 1:
                    return None if fields["State"][0] in "TtZX" else each
                with open(f"/proc/{each}/task/{each}/children", encoding="ascii") as file:
                    children += map(int, file.read().split())
            except (OSError, KeyError):
                continue
        layer = children
    return None


def damaged(worker: WorkerHandle, what: str) -> EnvringError:
    """The error for memory that holds what no worker of ours writes."""
    which = format_env_ids(worker.env_ids)
    return EnvringError(
        f"The memory shared with the worker of {which} is damaged: {what}. Close this vector env "
        "and make a new one."
    )
