# SPDX-License-Identifier: MIT
"""Exceptions of this package.

All derive from `EnvringError`, and from the built-in or Gymnasium error that code written for
`AsyncVectorEnv` already catches, where there is one. Messages say what happened, to which envs,
and what to do next.
"""

from __future__ import annotations

import signal as _signal
from collections.abc import Sequence


class EnvringError(Exception):
    """Base of all errors of this package."""


class WorkerDied(EnvringError, RuntimeError):
    """A worker process ended without being told to.

    Attributes:
        env_ids: the envs it held.
        pid: its process id.
        exitcode: its exit code, None if a signal ended it or nobody knows.
        signal: number of the signal that ended it, or None.
        stderr_tail: the last lines it wrote to stderr.
    """

    def __init__(
        self,
        env_ids: Sequence[int],
        pid: int,
        exitcode: int | None,
        signal: int | None,
        stderr_tail: str,
    ) -> None:
        """Describes the death; arguments are the attributes."""
        self.env_ids = tuple(env_ids)
        self.pid = pid
        self.exitcode = exitcode
        self.signal = signal
        self.stderr_tail = stderr_tail
        super().__init__(env_ids, pid, exitcode, signal, stderr_tail)

    def __str__(self) -> str:
        """What happened, to which envs, what to do."""
        if self.signal is not None:
            how = f"was killed by signal {self.signal} ({_signal_name(self.signal)})"
            if self.signal == _signal.SIGKILL:
                how += ", perhaps for want of memory"
        elif self.exitcode is not None:
            how = f"ended with exit code {self.exitcode}"
        else:
            how = "ended"
        text = (
            f"The worker process (pid {self.pid}) of {format_env_ids(self.env_ids)} {how}. "
            "Close this vector env and make a new one."
        )
        if self.stderr_tail:
            text += f"\nIts last words on stderr:\n{self.stderr_tail}"
        return text


class LaunchError(EnvringError, RuntimeError):
    """Workers could not be started, or their envs could not be made."""


class LauncherError(LaunchError, ValueError):
    """A launcher that there is not, or that cannot be used like this."""


class InterpreterError(LaunchError):
    """An interpreter is missing, cannot be run here, or is too old."""


class HandshakeError(LaunchError):
    """What was started does not speak as a worker does."""


class SourceError(LaunchError, ValueError):
    """An env source that says nothing this package or the worker's interpreter can build."""


class SpecError(LaunchError, ValueError):
    """A file that describes an interpreter's packages is missing or malformed."""


class SolveError(LaunchError):
    """Packages could not be found or installed.

    Attributes:
        log_path: file with all that the solver said, or None.
        tail: its last lines.
    """

    def __init__(self, message: str, log_path: str | None = None, tail: str = "") -> None:
        """Describes the failure; the last lines and the log's path become part of the text."""
        self.log_path = log_path
        self.tail = tail
        super().__init__(message, log_path, tail)

    def __str__(self) -> str:
        """What failed, the solver's own last lines, where all of them are."""
        text = str(self.args[0])
        if self.tail:
            text += f"\nThe last lines of its output:\n{self.tail}"
        if self.log_path:
            text += f"\nAll of it: {self.log_path}"
        return text


class CodecError(EnvringError, ValueError):
    """Bytes from another interpreter that are no message."""


class SpaceDataError(EnvringError, ValueError):
    """What another interpreter says of a space is no space."""


class WorkerTimeout(EnvringError, TimeoutError):
    """Workers were not ready within start_timeout."""


class ObservationError(EnvringError, ValueError, TypeError):
    """An env's observation does not fit its observation space."""


class ActionError(EnvringError, ValueError, TypeError):
    """A batch of actions does not fit the action space."""


class ConcurrentCallError(EnvringError, RuntimeError):
    """Two threads called the same vector env at the same time."""


class UnsendableError(EnvringError, TypeError):
    """Something that was to be sent to a worker cannot be pickled."""


class RemoteEnvError(EnvringError, RuntimeError):
    """An env raised an exception that could not travel; this carries its text.

    Between interpreters none travels. The traceback there is this exception's cause.

    Attributes:
        remote_type: name of the exception's class, with its module if it is not a built-in one; ""
            if it is not known.
    """

    remote_type: str = ""


class RemoteTraceback(EnvringError):
    """Cause of an exception that was raised in a worker: the traceback there, as text."""

    def __str__(self) -> str:
        """The traceback, on lines of its own."""
        return f"\n{self.args[0]}"


class LayoutMismatch(EnvringError, RuntimeError):
    """The two ends of a segment do not agree on its layout."""


class InfoError(EnvringError, ValueError):
    """Infos of several envs that cannot be put into one batch."""


class EmptyVectorError(EnvringError, ValueError, IndexError):
    """A vector env of no envs."""


class EnvFnError(EnvringError, TypeError):
    """Something among env_fns does not make an env, or cannot be sent to a worker."""


def format_env_ids(env_ids: Sequence[int]) -> str:
    """Names envs: "env 3", "envs 0-31", "envs 1, 5"."""
    ids = list(env_ids)
    if len(ids) == 1:
        return f"env {ids[0]}"
    if len(ids) > 2 and ids == list(range(ids[0], ids[-1] + 1)):
        return f"envs {ids[0]}-{ids[-1]}"
    shown = ", ".join(map(str, ids[:8]))
    return f"envs {shown}" + (", ..." if len(ids) > 8 else "")


def _signal_name(number: int) -> str:
    try:
        return _signal.Signals(number).name
    except ValueError:
        return "unknown"
