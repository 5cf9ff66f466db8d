# SPDX-License-Identifier: MIT
"""What a pool is asked for and what it answers, with workers or without."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envring.codec import as_bytes
from envring.errors import CodecError, RemoteTraceback


@dataclass
class PoolOptions:
    """How workers are started and how everybody waits.

    Attributes:
        context: a multiprocessing context.
        daemon: daemon flag of the processes.
        name: of the processes, before their number.
        autoreset_mode: 0 next step, 1 same step, 2 disabled.
        environ: environment variables for workers; None removes one.
        blas_threads: threads for libraries that workers inherit, None to leave them.
        cpus: CPU per worker, or None.
        compiled: whether workers use the compiled step loop.
        spin: seconds to spin before sleeping.
        adaptive: whether spins that are not worth it are skipped.
        yield_every: pauses between two yields.
        start_timeout: seconds until workers must be ready, or None.
    """

    context: Any
    daemon: bool
    name: str
    autoreset_mode: int
    environ: Mapping[str, str | None]
    blas_threads: int | None
    cpus: Sequence[int] | None
    compiled: bool
    spin: float
    adaptive: bool
    yield_every: int
    start_timeout: float | None


@dataclass
class Reply:
    """What workers say of a batch beyond the arrays, by env.

    Attributes:
        failures: (env_id, kind, exception as bytes or None, its text, traceback), in env order.
        dynamic: leaf index -> {env_id: value}.
        finals: env_id -> final observation.
        objects: env_id -> the objects of its info.
        odd: env_id -> its whole info.
        results: env_id -> result of a call.
    """

    failures: list[tuple[int, str, bytes | None, str, str]] = field(default_factory=list)
    dynamic: dict[int, dict[int, Any]] = field(default_factory=dict)
    finals: dict[int, Any] = field(default_factory=dict)
    objects: dict[int, list[Any]] = field(default_factory=dict)
    odd: dict[int, Any] = field(default_factory=dict)
    results: dict[int, Any] = field(default_factory=dict)

    def add(self, first_env: int, part: Mapping[str, Any], loads: Callable[[bytes], Any]) -> None:
        """Adds one worker's reply; `loads` reads what is in it as bytes."""
        self.failures += part["failures"]
        for leaf, values in part["dynamic"].items():
            self.dynamic.setdefault(leaf, {}).update(values)
        self.finals.update({env_id: loads(obs) for env_id, obs in part["finals"].items()})
        self.objects.update(part["objects"])
        self.odd.update(part["odd"])
        if part["results"] is not None:
            self.results.update(enumerate(part["results"], first_env))


def check_part(part: Any, env_ids: Sequence[int], num_leaves: int) -> dict[str, Any]:
    """A reply that came from another interpreter, if it is one.

    Args:
        part: what came.
        env_ids: envs of that worker.
        num_leaves: leaves of an observation.

    Raises:
        CodecError: it is something else.
    """
    ours = set(env_ids)

    def by_env(values: Any) -> bool:
        return isinstance(values, dict) and ours.issuperset(values)

    def failure(row: Any) -> bool:
        return (
            isinstance(row, tuple)
            and len(row) == 5
            and row[0] in ours
            and row[2] is None  # an exception as bytes would be unpickled
            and all(isinstance(row[i], str) for i in (1, 3, 4))
        )

    if not (
        isinstance(part, dict)
        and part.keys() == {"failures", "dynamic", "finals", "objects", "odd", "results"}
        and isinstance(part["failures"], list)
        and all(map(failure, part["failures"]))
        and isinstance(part["dynamic"], dict)
        and all(type(leaf) is int and 0 <= leaf < num_leaves for leaf in part["dynamic"])
        and all(map(by_env, part["dynamic"].values()))
        and by_env(part["finals"])
        and all(isinstance(as_bytes(obs), bytes) for obs in part["finals"].values())
        and by_env(part["objects"])
        and all(isinstance(values, list) for values in part["objects"].values())
        and by_env(part["odd"])
        and (
            part["results"] is None
            or (isinstance(part["results"], list) and len(part["results"]) == len(ours))
        )
    ):
        raise CodecError("a reply that is none")
    finals = {env_id: as_bytes(obs) for env_id, obs in part["finals"].items()}
    return {**part, "finals": finals}


def type_name(text: str, trace: str) -> str:
    """The name of an exception's class, from its text and its traceback; "" if it is not there."""
    line = trace.rstrip().removesuffix(text.rstrip()).rstrip().rsplit("\n", 1)[-1]
    name = line.rstrip(": ")
    return name if all(part.isidentifier() for part in name.split(".")) else ""


def remote_error(env_id: int, data: bytes | None, text: str, trace: str) -> BaseException | None:
    """The exception that an env raised, with its traceback as cause; None if it did not travel."""
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
    error.add_note(f"(raised by env {env_id} in its worker)")
    return error
