# SPDX-License-Identifier: MIT
"""Exceptions of envs, as they arrive from workers."""

from __future__ import annotations

import pickle

from envring.errors import RemoteTraceback
from envring.transport.advice import advice


def type_name(text: str, trace: str) -> str:
    """The name of an exception's class, from its text and its traceback; "" if it is not there."""
    line = trace.rstrip().removesuffix(text.rstrip()).rstrip().rsplit("\n", 1)[-1]
    name = line.rstrip(": ")
    return name if all(part.isidentifier() for part in name.split(".")) else ""


def remote_error(who: str, data: bytes | None, text: str, trace: str) -> BaseException | None:
    """The exception that `who` raised, its traceback as cause; None if it cannot be rebuilt."""
    if data is None:
        return None
    try:
        error = pickle.loads(data)
        if isinstance(error, tuple):  # its constructor does not take its args back
            kind, args, state = error
            error = kind.__new__(kind)
            error.args = args
            error.__dict__.update(state)
    except Exception:
        return None
    if not isinstance(error, BaseException):
        return None
    error.__cause__ = RemoteTraceback(trace)
    error.add_note(f"(raised by {who} in its worker)")
    what = advice(type(error).__name__, text)
    if what is not None:
        error.add_note(what)
    return error


def is_of_an_env(error: BaseException) -> bool:
    """Whether it was raised in a worker and sent here, as a Ctrl-C of this process is not."""
    return isinstance(error.__cause__, RemoteTraceback)
