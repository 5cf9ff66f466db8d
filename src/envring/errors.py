# SPDX-License-Identifier: MIT
"""Exceptions of this package.

All derive from `EnvringError`. Where code written for `AsyncVectorEnv` already catches a built-in
or Gymnasium error, they derive from that too. Messages say what happened, to which envs, and what
to do next.
"""

from __future__ import annotations

import signal as _signal
from collections.abc import Sequence
from typing import Any


class EnvringError(Exception):
    """Base of all errors of this package."""


class WorkerDied(EnvringError, RuntimeError):
    """A worker process ended unexpectedly.

    Attributes:
        env_ids: ids of the envs in it.
        pid: its process id.
        exitcode: its exit code; None if a signal ended it or the code is unknown.
        signal: number of the signal that ended it, or None.
        stderr_tail: the last lines it wrote to stderr, "" if none.
        restarts: how often it had been started again before, within the time that counts.
    """

    restarts: int = 0
    why_not_again: str = ""

    def __init__(
        self,
        env_ids: Sequence[int],
        pid: int,
        exitcode: int | None,
        signal: int | None,
        stderr_tail: str,
    ) -> None:
        """The arguments are the attributes."""
        self.env_ids = tuple(env_ids)
        self.pid = pid
        self.exitcode = exitcode
        self.signal = signal
        self.stderr_tail = stderr_tail
        super().__init__(env_ids, pid, exitcode, signal, stderr_tail)

    def __str__(self) -> str:
        """Returns what happened, to which envs, and what to do."""
        how = how_ended(self.exitcode, self.signal)
        text = (
            f"The worker process (pid {self.pid}) of {format_env_ids(self.env_ids)} {how}. "
            f"{self.why_not_again}Close this vector env and make a new one."
        )
        if self.stderr_tail:
            text += f"\nThe last lines of its stderr:\n{self.stderr_tail}"
        return text


class WorkerRestarted(WorkerDied):
    """A worker died during a call of its envs, and is started again (on_worker_death="restart").

    The vector env goes on: the next step of these envs is the end of their episodes, as truncated.

    Attributes:
        name: what was asked of the envs: "call", "set_attr", ...
        why: what happened to the worker.
    """

    def __init__(
        self, env_ids: Sequence[int], pid: int, name: str, died: WorkerDied | None, why: str
    ) -> None:
        """Takes exit code, signal and stderr from the error that would be raised otherwise."""
        code, signal = (None, None) if died is None else (died.exitcode, died.signal)
        super().__init__(env_ids, pid, code, signal, "" if died is None else died.stderr_tail)
        self.name = name
        self.why = why
        self.args = (env_ids, pid, name, died, why)

    def __str__(self) -> str:
        """Returns what happened, to which envs, and what to do."""
        return (
            f"The worker process (pid {self.pid}) of {format_env_ids(self.env_ids)} ended during "
            f"{self.name!r}: {self.why} It is started again, so this vector env goes on. Whether "
            "the envs did what was asked of them is not known: ask again."
        )


class HostLost(WorkerDied):
    """The connection to an env host ended, or the host was silent for too long.

    Attributes:
        host: its address.
        why: what happened to the connection.
    """

    def __init__(self, env_ids: Sequence[int], host: str, why: str) -> None:
        """The arguments are the attributes."""
        super().__init__(env_ids, 0, None, None, "")
        self.host = host
        self.why = why
        self.args = (env_ids, host, why)

    def __str__(self) -> str:
        """Returns what happened, to which envs, and what to do."""
        return (
            f"The connection to {self.host}, the host of {format_env_ids(self.env_ids)}, was lost: "
            f"{self.why}. {self.why_not_again}Close this vector env and make a new one."
        )


class LaunchError(EnvringError, RuntimeError):
    """Workers could not be started, or their envs could not be made."""


class LauncherError(LaunchError, ValueError):
    """A launcher does not exist, misses a program, or got invalid arguments."""


class InterpreterError(LaunchError):
    """An interpreter is missing, cannot run on this machine, or is too old."""


class HandshakeError(LaunchError):
    """The started program does not answer as a worker."""


class SourceError(LaunchError, ValueError):
    """An env source is malformed, or the env cannot be built from it."""


class SpecError(LaunchError, ValueError):
    """A file that describes an interpreter's packages is missing or malformed."""


class SolveError(LaunchError):
    """Packages could not be found or installed.

    Attributes:
        log_path: path of the file with all of the solver's output, or None.
        tail: the last lines of that output, or "".
    """

    def __init__(self, message: str, log_path: str | None = None, tail: str = "") -> None:
        """Adds the last lines and the log's path to the message."""
        self.log_path = log_path
        self.tail = tail
        super().__init__(message, log_path, tail)

    def __str__(self) -> str:
        """Returns the message, the last lines of the output, and the log's path."""
        text = str(self.args[0])
        if self.tail:
            text += f"\nThe last lines of its output:\n{self.tail}"
        if self.log_path:
            text += f"\nThe full log: {self.log_path}"
        return text


class CodecError(EnvringError, ValueError):
    """Bytes from another interpreter are not a valid message."""


class WireError(EnvringError, ValueError):
    """An env host, or its caller, sent bytes that do not belong on our wire."""


class AddressError(LauncherError):
    """The address of an env host, its key or its certificates are not valid."""


class HostRefused(LaunchError):
    """An env host was reached and refused.

    Attributes:
        reason: "key", "version", "runtime", "env", "full", "busy", "closing", ...
    """

    def __init__(self, message: str, reason: str = "") -> None:
        """Keeps the reason beside the message."""
        self.reason = reason
        super().__init__(message, reason)

    def __str__(self) -> str:
        """Returns the message."""
        return str(self.args[0])


class SpaceDataError(EnvringError, ValueError):
    """Data from another interpreter does not describe a space."""


class WorkerTimeout(EnvringError, TimeoutError):
    """Workers took longer than start_timeout, step_timeout, reset_timeout or call_timeout.

    Attributes:
        env_ids: ids of the envs in them.
        stack: what the workers' Python threads were in, as text; "" if that cannot be known.
    """

    def __init__(self, message: str, env_ids: Sequence[int] = (), stack: str = "") -> None:
        """Adds the stack to the message."""
        self.env_ids = tuple(env_ids)
        self.stack = stack
        self._message = message
        super().__init__(message)

    def __str__(self) -> str:
        """Returns what took too long, what to do, and where the workers were."""
        if not self.stack:
            return self._message
        return f"{self._message}\nWhere it was:\n{self.stack}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the three arguments."""
        return type(self), (self._message, self.env_ids, self.stack)


class ObservationError(EnvringError, ValueError, TypeError):
    """An env's observation does not fit its observation space."""


class ActionError(EnvringError, ValueError, TypeError):
    """A batch of actions does not fit the action space."""


class ConcurrentCallError(EnvringError, RuntimeError):
    """Two threads called the same vector env at the same time."""


class UnsendableError(EnvringError, TypeError):
    """An object to be sent to a worker cannot be pickled."""


class RemoteEnvError(EnvringError, RuntimeError):
    """An env raised an exception that cannot be sent to the caller; this carries its text.

    From another interpreter no exception can be sent. The cause of this exception holds the
    worker's traceback.

    Attributes:
        remote_type: name of the exception's class, with its module if it is not built in; "" if
            unknown.
    """

    remote_type: str = ""


class RemoteTraceback(EnvringError):
    """Cause of an exception that was raised in a worker: the worker's traceback, as text."""

    def __str__(self) -> str:
        """Returns the traceback, on lines of its own."""
        return f"\n{self.args[0]}"


class LayoutMismatch(EnvringError, RuntimeError):
    """The two ends of a segment do not agree on its layout."""


class InfoError(EnvringError, ValueError):
    """Infos of several envs cannot be put into one batch."""


class StaleViewError(EnvringError):
    """Rows of a rollout's array were used too late, or too early (ENVRING_DEBUG=1)."""


class EmptyVectorError(EnvringError, ValueError, IndexError):
    """A vector env was asked for with no envs."""


class EnvFnError(EnvringError, TypeError):
    """An item of env_fns does not make an env, or cannot be sent to a worker."""


def format_env_ids(env_ids: Sequence[int]) -> str:
    """Formats env ids for messages: "env 3", "envs 0-31", "envs 1, 5"."""
    ids = list(env_ids)
    if len(ids) == 1:
        return f"env {ids[0]}"
    if len(ids) > 2 and ids == list(range(ids[0], ids[-1] + 1)):
        return f"envs {ids[0]}-{ids[-1]}"
    shown = ", ".join(map(str, ids[:8]))
    return f"envs {shown}" + (", ..." if len(ids) > 8 else "")


def how_ended(exitcode: int | None, signal: int | None) -> str:
    """How a process ended, for messages; both None if nobody knows."""
    if signal is None:
        return "ended" if exitcode is None else f"ended with exit code {exitcode}"
    memory = ", perhaps because memory ran out" if signal == _signal.SIGKILL else ""
    return f"was killed by signal {signal} ({_signal_name(signal)}){memory}"


def _signal_name(number: int) -> str:
    try:
        return _signal.Signals(number).name
    except ValueError:
        return "unknown"
