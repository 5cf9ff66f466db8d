# SPDX-License-Identifier: MIT
"""What envs raised, raised in the caller."""

from __future__ import annotations

from gymnasium import logger

from envring.errors import HostRefused, ObservationError, RemoteEnvError, RemoteTraceback
from envring.pool.reply import REFUSED, Reply
from envring.transport.advice import advice
from envring.transport.exceptions import remote_error, type_name


def raise_failures(reply: Reply, quiet: bool = False) -> None:
    """Raises the last failure. Unless `quiet`, reports each one first, as AsyncVectorEnv does."""
    report = (lambda *_: None) if quiet else logger.error
    error: BaseException | None = None
    for env_id, kind, data, text, trace in reply.failures:
        report(f"Received the following error from Worker-{env_id} - Shutting it down")
        report("%s", trace)  # it may hold percent signs
        if kind == "observation":
            error = ObservationError(
                f"The observation of env {env_id} does not fit its space: {text}. Fix the env's "
                "observation_space, or what it returns."
            )
        elif kind == REFUSED:
            error = HostRefused(text, "env")
        else:
            error = remote_error(env_id, data, text, trace)
        if error is None:
            name = type_name(text, trace)
            error = RemoteEnvError(f"env {env_id} raised {name or 'an exception'}: {text}")
            error.remote_type = name
            what = advice(name, text)
            if what is not None:
                error.add_note(what)
        if error.__cause__ is None and trace:
            error.__cause__ = RemoteTraceback(trace)
    report("Raising the last exception back to the main process.")
    assert error is not None
    raise error
