# SPDX-License-Identifier: MIT
"""A process in the place of a worker, until it can be used as that was."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envring.errors import EnvringError, LaunchError, WorkerDied, format_env_ids
from envring.transport.exceptions import is_of_an_env
from envring.workers import starting
from envring.workers.foreign import ForeignWorker
from envring.workers.handle import WorkerHandle

_SECONDS = 1.0  # for what a dead process has said: it is there


@dataclass
class Successor:
    """A process in the place of a dead worker, until it can be used as that was.

    Attributes:
        due: time.monotonic() from which it may be started.
        worker: the process, once it was started.
        beside: whether it was started while the other one was at work.
        greeted: whether it said hello, if it is in another interpreter.
        built: whether its envs are, and it was told to attach.
        after: number of a batch that has all results of the dead worker: it attaches when that was
            handed out, because that one then has the last observations; None: no such batch.
        messages: what it is to be sent once it is attached.
        takes: whether what is sent to it now was posted after the death of the one before.
        deadline: time.monotonic() at which it must be attached.
    """

    due: float
    worker: WorkerHandle | None = None
    beside: bool = False
    greeted: bool = False
    built: bool = False
    after: int | None = None
    messages: list[bytes] = field(default_factory=list)
    takes: bool = False
    deadline: float | None = None


def headline(error: EnvringError) -> str:
    """What happened, without what to do."""
    text = str(error).partition("\n")[0]
    return text.replace(" Close this vector env and make a new one.", "")


def as_ours(error: BaseException, env_ids: Sequence[int]) -> EnvringError:
    """An error of a new process for these envs, as one of ours."""
    if isinstance(error, EnvringError):
        return error
    failed = LaunchError(
        f"{format_env_ids(env_ids).capitalize()} could not be built again: {error}."
    )
    failed.__cause__ = error
    return failed


def last_words(successor: Successor | None) -> EnvringError | None:
    """Why a process that is dead could not build its envs, if it said so before it ended."""
    worker = None if successor is None else successor.worker
    if successor is None or worker is None or successor.built:
        return None
    try:
        if isinstance(worker, ForeignWorker) and not successor.greeted:
            worker.greet(_SECONDS)
        starting.expect(worker, "ready", time.monotonic() + _SECONDS, _SECONDS)
    except WorkerDied:
        return None
    except BaseException as error:
        if not isinstance(error, Exception) and not is_of_an_env(error):
            raise
        return as_ours(error, worker.env_ids)
    return None


def assert_same(old: Mapping[str, Any], new: Mapping[str, Any], worker: WorkerHandle) -> None:
    """Refuses envs whose spaces are others than those that they replace."""
    # plain data may hold arrays, which do not compare as one
    plain = worker.channel.encode if worker.foreign else lambda value: value
    for name in ("observation_spaces", "action_spaces", "vectors", "native"):
        if plain(old.get(name)) != plain(new.get(name)):
            raise LaunchError(
                f"{format_env_ids(worker.env_ids)} were built again with other "
                f"{name.replace('_', ' ')}: {new.get(name)} instead of {old[name]}."
            )
