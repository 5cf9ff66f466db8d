# SPDX-License-Identifier: MIT
"""Errors of an env host as plain data, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envring import errors
from envring.errors import (
    EnvringError,
    HostLost,
    HostRefused,
    RemoteTraceback,
    WorkerDied,
    WorkerTimeout,
)
from envring.transport import codec

_PLAIN = (
    "EnvringError",
    "LaunchError",
    "LauncherError",
    "InterpreterError",
    "HandshakeError",
    "SourceError",
    "SpecError",
    "SolveError",
    "SpaceDataError",
    "EnvFnError",
    "RemoteEnvError",
    "UnsendableError",
    "SegmentMemoryError",
    "WireError",
)


def describe(error: BaseException) -> bytes:
    """An error, for the other end."""
    told: dict[str, Any] = {"type": type(error).__name__, "text": str(error)}
    if isinstance(error, WorkerDied):
        for name in ("env_ids", "pid", "exitcode", "signal", "stderr_tail"):
            told[name] = getattr(error, name)
    elif isinstance(error, WorkerTimeout):
        told |= {"env_ids": error.env_ids, "text": error.args[0], "stack": error.stack}
    elif isinstance(error, HostRefused):
        told["reason"] = error.reason
    if isinstance(error, HostLost):
        told = {"type": "HostLost", "text": error.why}
    if isinstance(error.__cause__, RemoteTraceback):
        told["trace"] = str(error.__cause__.args[0])
    return codec.dumps(told)


def rebuild(data: bytes, env_ids: Sequence[int], host: str) -> EnvringError:
    """The error that a host described; one that says so if it cannot be read.

    Args:
        data: what came.
        env_ids: ids here of the envs on that host.
        host: its address.
    """
    try:
        told = codec.loads(data)
        found = _rebuild(told, env_ids, host)
        if isinstance(told.get("trace"), str):
            found.__cause__ = RemoteTraceback(told["trace"])
    except (errors.CodecError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return errors.WireError(f"{host} reported an error that cannot be read")
    return found


def _rebuild(told: dict[str, Any], env_ids: Sequence[int], host: str) -> EnvringError:
    name, text = told["type"], str(told["text"])
    if name == "HostRefused":
        return HostRefused(f"{host}: {text}", str(told["reason"]))
    if name == "HostLost":
        return HostLost(tuple(env_ids), host, text)
    if name in ("WorkerDied", "WorkerTimeout"):
        which = tuple(env_ids[env_id] for env_id in told["env_ids"])
        if name == "WorkerTimeout":
            return WorkerTimeout(f"{host}: {text}", which, str(told["stack"]))
        numbers = [told[each] for each in ("pid", "exitcode", "signal")]
        if not all(number is None or type(number) is int for number in numbers):
            raise TypeError(numbers)
        return WorkerDied(which, numbers[0] or 0, numbers[1], numbers[2], str(told["stderr_tail"]))
    kind = getattr(errors, name) if name in _PLAIN and hasattr(errors, name) else EnvringError
    error: EnvringError = kind(f"{host}: {text}")
    return error
