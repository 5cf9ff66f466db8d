# SPDX-License-Identifier: MIT
"""Envs that are stepped by themselves: sent for a step or a reset, and taken when they are done."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from envring._foreign.envring_worker.data import actions as codes
from envring.core import _core
from envring.errors import EnvringError
from envring.pool.reply import Reply

if TYPE_CHECKING:
    from envring.pool.inline import InlinePool
    from envring.pool.worker_pool import WorkerPool

EnvIds: TypeAlias = NDArray[np.int32]  # in ascending order where they are sent

_NEVER = 1 << 62  # ns
_SLICE = 0.05  # seconds between two looks for the dead
_SOON = 0.002  # the same, while a worker is started again
_RELAY_SLICE = 0.002  # seconds for channels, where other workers answer by the segment


class Flow(Protocol):
    """A pool's envs, each on its own. Only while no batch of the pool is under way.

    An env is *out* from when it is sent until it is taken.
    """

    @property
    def num_out(self) -> int:
        """How many envs are out."""

    def among_out(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs that are out."""

    def send(self, env_ids: EnvIds, slot: int, code: int, together: bool) -> None:
        """Has envs, none of them out, stepped into a slot, or reset.

        Args:
            env_ids: which.
            slot: where their rows of the results go.
            code: how their actions travel; RESET: they are reset.
            together: whether each run of envs of one worker is done together.
        """

    def ready(self) -> int:
        """How many envs are done, without waiting."""

    def wait(self, count: int, deadline: float | None) -> bool:
        """Waits until so many envs are done, until time.monotonic() is at the deadline.

        Raises:
            WorkerDied: a worker ended.
            WorkerTimeout: workers took longer than they may; they were killed.
        """

    def take(self, count: int) -> EnvIds:
        """The envs that have been done for the longest; so many must be."""

    def take_these(self, env_ids: EnvIds) -> EnvIds:
        """Those of the envs that are done."""

    def done_among(self, env_ids: EnvIds) -> int:
        """How many of the envs, all of which are out, are done; without waiting."""

    def put_back(self, env_ids: EnvIds) -> None:
        """Undoes taking them."""

    def short_path(
        self, reader: _core.BatchReader, actions: _core.ActionSlab, env_ids: EnvIds
    ) -> _core.PartPath | None:
        """The short way through steps of the same envs, or None if there is none."""

    def failed(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs, which were taken, whose results are exceptions."""

    def collect(self, env_ids: Sequence[int]) -> Reply | None:
        """What taken envs have beyond arrays, once."""


class WorkerFlow:
    """The `Flow` of a WorkerPool."""

    def __init__(self, pool: WorkerPool) -> None:
        """Begins with no env out."""
        assert pool.port is not None
        self._pool = pool
        self._flow = _core.Flow(pool.port, pool.spans)
        self.among_out = self._flow.among_out
        self.ready = self._flow.collect
        self.take = self._flow.take
        self.take_these = self._flow.take_these
        self.put_back = self._flow.put_back
        self.done_among = self._flow.done_among
        self._looked = 0.0
        self._since: dict[int, tuple[list[int], float]] = {}  # what a worker owed when
        self._commands: dict[int, tuple[int, int]] = {}  # env id -> (slot, code), with restarts
        if pool.restarts is not None:
            pool.restarts.flow = weakref.proxy(self)

    @property
    def num_out(self) -> int:
        """How many envs are out."""
        return int(self._flow.num_out)

    def send(self, env_ids: EnvIds, slot: int, code: int, together: bool) -> None:
        """Has envs stepped or reset; see `Flow`."""
        self._pool.raise_if_dead()
        if self._pool.restarts is not None:
            self._commands.update(dict.fromkeys(env_ids.tolist(), (slot, code)))
            if code == codes.RESET:
                self._pool.restarts.sent(env_ids.tolist())
        self._flow.post(env_ids, slot, code, together)
        self._pool.relays.forward()

    def replace_worker(self, w: int) -> list[int]:
        """Makes ready for a process in the place of a dead worker; its envs that owe results."""
        first, end = self._pool.spans[w]
        replies = self._pool.replies
        with contextlib.suppress(EnvringError):  # nonsense that it left is dropped
            replies.split(w)
        self._flow.replace_worker(w, first, end)
        owing = [env_id for env_id in self._flow.owing() if first <= env_id < end]
        replies.drop_one(w, owing)
        return owing

    def post_again(self, env_ids: Sequence[int]) -> None:
        """Has envs that owe results do so in their new process."""
        for env_id in env_ids:
            self._flow.post_again(env_id, *self._commands[env_id])

    def to_be_reset(self, env_ids: Sequence[int]) -> list[int]:
        """Those of the envs that were sent for a reset."""
        return [env_id for env_id in env_ids if self._commands[env_id][1] == codes.RESET]

    def owing(self) -> list[int]:
        """The envs that owe results."""
        return self._flow.owing()

    def wait(self, count: int, deadline: float | None) -> bool:
        """Waits until so many envs are done; see `Flow`."""
        pool, flow = self._pool, self._flow
        pool.raise_if_dead()
        until = _NEVER if deadline is None else int(deadline * 1e9)
        while True:
            if pool.relays:
                pool.relays.take(0.0 if flow.collect() >= count else _RELAY_SLICE)
                until = 0
            slice = _SLICE
            if pool.restarts is None or not pool.restarts.under_way:
                state = flow.wait(count, until)
            else:
                state, slice = flow.wait(count, pool.restarts.slice(until)), _SOON
            now = time.monotonic()
            # while others are quick, too: one that hangs must be noticed
            if state == _core.NOT_YET or now >= self._looked + slice:
                self._looked = now
                self._look(now)
            if state == _core.COMPLETE:
                return True
            if state == _core.RANG:
                pool.drain()
            if deadline is not None and now >= deadline:
                return bool(flow.collect() >= count)

    def short_path(
        self, reader: _core.BatchReader, actions: _core.ActionSlab, env_ids: EnvIds
    ) -> _core.PartPath | None:
        """The short way; none where a worker gets its commands by its channel."""
        if self._pool.relays or self._pool.restarts is not None:
            return None
        path = _core.PartPath(self._flow, reader, actions, env_ids)
        self._pool.paths.append(path)
        return path

    def _look(self, now: float) -> None:
        """Looks for workers that died, or that took longer than they may."""
        self._pool.look_for_deaths()
        restarts = self._pool.restarts
        if restarts is not None:
            restarts.advance()
        seconds = self._pool.options.limits.step
        if seconds is None:
            return
        owing = set(self._flow.owing())
        late = []
        for w, (first, end) in enumerate(self._pool.spans):
            # one env after the other: what a worker owes shrinks while it gets on
            owed = [env_id for env_id in range(first, end) if env_id in owing]
            known, since = self._since.get(w, ([], now))
            if not owed or owed != known or (restarts is not None and restarts.is_missing(w)):
                self._since[w] = owed, now
            elif now - since >= seconds:
                late.append(self._pool.workers[w])
        if late:
            self._pool.deaths.give_up(late, "step", seconds)

    def failed(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs whose results are exceptions."""
        return self._pool.replies.failed(env_ids.tolist())

    def collect(self, env_ids: Sequence[int]) -> Reply | None:
        """What taken envs have beyond arrays, once."""
        return self._pool.replies.collect_some(env_ids)


class DoneQueue:
    """Envs that are done, in that order: what flows share that keep them in Python."""

    def __init__(self) -> None:
        """Begins with none."""
        self._done: list[int] = []

    def ready(self) -> int:
        """How many envs are done, without waiting."""
        return len(self._done)

    def take(self, count: int) -> EnvIds:
        """The envs that have been done for the longest."""
        taken, self._done = self._done[:count], self._done[count:]
        return np.array(taken, np.int32)

    def take_these(self, env_ids: EnvIds) -> EnvIds:
        """Those of the envs that are done."""
        self.ready()
        wanted = set(env_ids.tolist())
        taken = [env_id for env_id in self._done if env_id in wanted]
        self._done = [env_id for env_id in self._done if env_id not in wanted]
        return np.array(taken, np.int32)

    def done_among(self, env_ids: EnvIds) -> int:
        """How many of the envs are done, without waiting."""
        self.ready()
        return len(set(self._done).intersection(env_ids.tolist()))

    def put_back(self, env_ids: EnvIds) -> None:
        """Undoes taking them."""
        self._done[:0] = env_ids.tolist()

    def short_path(self, *_: object) -> None:
        """None: there is no short way."""


class InlineFlow(DoneQueue):
    """The `Flow` of an InlinePool: an env is stepped when its result is waited for."""

    def __init__(self, pool: InlinePool) -> None:
        """Begins with no env out."""
        super().__init__()
        self._pool = pool
        self._sent: list[tuple[int, int, int]] = []  # (env id, slot, code)
        self._replies: dict[int, Reply] = {}

    @property
    def num_out(self) -> int:
        """How many envs are out."""
        return len(self._sent) + len(self._done)

    def among_out(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs that are out."""
        out = {env_id for env_id, _, _ in self._sent}.union(self._done)
        return [env_id for env_id in env_ids.tolist() if env_id in out]

    def send(self, env_ids: EnvIds, slot: int, code: int, together: bool) -> None:
        """Notes what is to be done; see `Flow`."""
        self._sent += [(env_id, slot, code) for env_id in env_ids.tolist()]

    def owing(self) -> list[int]:
        """The envs that owe results."""
        return [env_id for env_id, _, _ in self._sent]

    def wait(self, count: int, deadline: float | None) -> bool:
        """Steps envs in the order in which they were sent, until so many are done."""
        while len(self._done) < count and self._sent:
            if deadline is not None and time.monotonic() >= deadline:
                return False
            env_id, slot, code = self._sent.pop(0)
            self._pool.run_one(env_id, slot, code)
            reply = self._pool.collect()
            if reply is not None:
                self._replies[env_id] = reply
            self._done.append(env_id)
        return len(self._done) >= count

    def failed(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs whose results are exceptions."""
        replies = self._replies
        return [e for e in env_ids.tolist() if e in replies and replies[e].failures]

    def collect(self, env_ids: Sequence[int]) -> Reply | None:
        """What taken envs have beyond arrays, once."""
        found = [self._replies.pop(env_id) for env_id in env_ids if env_id in self._replies]
        return Reply.merged(found) if found else None
