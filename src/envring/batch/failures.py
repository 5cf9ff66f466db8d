# SPDX-License-Identifier: MIT
"""What envs raised, raised in the caller."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from gymnasium import logger

from envring.errors import (
    HostRefused,
    ObservationError,
    RemoteEnvError,
    RemoteTraceback,
    format_env_ids,
)
from envring.pool.reply import REFUSED, Reply
from envring.transport.advice import advice
from envring.transport.exceptions import remote_error, type_name

_VECTOR = "vector "  # begins the kind of what a vector env raised, once for each of its rows


def raise_failures(reply: Reply, quiet: bool = False) -> None:
    """Raises the last failure. Unless `quiet`, reports each one first, as AsyncVectorEnv does."""
    report = (lambda *_: None) if quiet else logger.error
    error: BaseException | None = None
    for env_ids, (kind, data, text, trace) in _by_raiser(reply.failures):
        for env_id in env_ids:
            report(f"Received the following error from Worker-{env_id} - Shutting it down")
        report("%s", trace)  # it may hold percent signs
        who = format_env_ids(env_ids)
        if kind.removeprefix(_VECTOR) == "observation":
            error = ObservationError(
                f"The observation of {who} does not fit its space: {text}. Fix the env's "
                "observation_space, or what it returns."
            )
        elif kind == REFUSED:
            error = HostRefused(text, "env")
        else:
            error = remote_error(who, data, text, trace)
        if error is None:
            name = type_name(text, trace)
            error = RemoteEnvError(f"{who} raised {name or 'an exception'}: {text}")
            error.remote_type = name
            what = advice(name, text)
            if what is not None:
                error.add_note(what)
        if error.__cause__ is None and trace:
            error.__cause__ = RemoteTraceback(trace)
    report("Raising the last exception back to the main process.")
    assert error is not None
    raise error


def _by_raiser(failures: Sequence[Any]) -> list[tuple[list[int], Any]]:
    """(env ids, (kind, exception as bytes, text, traceback)) of each env or vector env."""
    found: list[tuple[list[int], Any]] = []
    for what, group in groupby(failures, key=lambda failure: failure[1:]):
        env_ids = [failure[0] for failure in group]
        if what[0].startswith(_VECTOR):
            found.append((env_ids, what))
        else:
            found += [([env_id], what) for env_id in env_ids]
    return found
