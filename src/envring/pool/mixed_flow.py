# SPDX-License-Identifier: MIT
"""The `Flow` of a MixedPool: those of its parts, waited for by turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from envring.pool.flow import DoneQueue, EnvIds, Flow, InlineFlow, WorkerFlow
from envring.pool.remote_flow import RemoteFlow
from envring.pool.reply import Reply
from envring.transport.polling import readable
from envring.transport.segment import MappedSegment

_TURN = 0.0005  # seconds for which one part is waited for while others are under way, too
_SLICE = 0.05  # seconds between two looks whether hosts are silent


class Parted(Protocol):
    """A pool of parts, each with `pool`, `which` of the spans it has, and `segment` or None."""

    num_envs: int
    segment: MappedSegment

    @property
    def parts(self) -> Sequence[Any]:
        """The parts."""

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        """First env and the one after the last, by slice."""

    def raise_if_dead(self) -> None:
        """Raises what ended a part, if something did."""


class MixedFlow(DoneQueue):
    """The `Flow` of a pool of parts.

    Args:
        pool: the pool.
        copy_rows: copies rows from a part's own segment into a slot of the batcher's.
    """

    def __init__(
        self, pool: Parted, copy_rows: Callable[[MappedSegment, int, slice], None] | None = None
    ) -> None:
        """Begins with no env out."""
        super().__init__()
        self._copy_rows = copy_rows
        self._pool = pool
        self._flows: list[Flow] = [part.pool.flow() for part in pool.parts]
        self._part_of = np.zeros(pool.num_envs, np.intp)
        self._slot_of = np.zeros(pool.num_envs, np.intp)
        for number, part in enumerate(pool.parts):
            for which in part.which:
                first, end = pool.spans[which]
                self._part_of[first:end] = number

    @property
    def num_out(self) -> int:
        """How many envs are out."""
        return len(self._done) + sum(flow.num_out for flow in self._flows)

    def among_out(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs that are out."""
        out = set(self._done)
        for flow in self._flows:
            out.update(flow.among_out(env_ids))
        return [env_id for env_id in env_ids.tolist() if env_id in out]

    def owing(self) -> list[int]:
        """The envs whose results have not come. The rows of all others are in the slots."""
        found: list[int] = []
        for number, (part, flow) in enumerate(zip(self._pool.parts, self._flows, strict=True)):
            assert isinstance(flow, (WorkerFlow, RemoteFlow, InlineFlow))
            owing = flow.owing()
            found += owing
            if part.segment is None or self._copy_rows is None:
                continue
            mine = np.flatnonzero(self._part_of == number).astype(np.int32)
            for env_id in set(flow.among_out(mine)).difference(owing):
                rows = slice(env_id, env_id + 1)
                self._copy_rows(part.segment, int(self._slot_of[env_id]), rows)
        return found

    def send(self, env_ids: EnvIds, slot: int, code: int, together: bool) -> None:
        """Has envs stepped or reset; see `Flow`."""
        self._pool.raise_if_dead()
        self._slot_of[env_ids] = slot
        for number, (part, flow) in enumerate(zip(self._pool.parts, self._flows, strict=True)):
            mine = env_ids[self._part_of[env_ids] == number]
            if len(mine) == 0:
                continue
            if part.segment is None:
                flow.send(mine, slot, code, together)
            else:
                # rows of envs that are under way keep the bytes that they have
                part.segment.action_slab[...] = self._pool.segment.action_slab
                flow.send(mine, 0, code, together)

    def ready(self) -> int:
        """How many envs are done, without waiting."""
        for part, flow in zip(self._pool.parts, self._flows, strict=True):
            count = flow.ready()
            if not count:
                continue
            taken = flow.take(count).tolist()
            if part.segment is not None and self._copy_rows is not None:
                for env_id in taken:
                    rows = slice(env_id, env_id + 1)
                    self._copy_rows(part.segment, int(self._slot_of[env_id]), rows)
            self._done += taken
        return len(self._done)

    def wait(self, count: int, deadline: float | None) -> bool:
        """Waits until so many envs are done; see `Flow`."""
        while (missing := count - self.ready()) > 0:
            self._wait_for_some(missing, deadline)
            if deadline is not None and time.monotonic() >= deadline:
                return self.ready() >= count
        return True

    def _wait_for_some(self, missing: int, deadline: float | None) -> None:
        """Waits until something may have changed."""
        waiting = [flow for flow in self._flows if flow.num_out]
        if len(waiting) == 1:
            waiting[0].wait(min(missing, waiting[0].num_out), deadline)
            return
        hosts = [flow for flow in waiting if isinstance(flow, RemoteFlow)]
        if len(hosts) == len(waiting):
            left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
            readable([host.fileno() for host in hosts], left)
            return
        for flow in waiting:  # `ready` looks at hosts
            if not isinstance(flow, RemoteFlow):  # a part that hangs must not hide the others
                end = time.monotonic() + _TURN
                flow.wait(1, end if deadline is None else min(end, deadline))

    def failed(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs whose results are exceptions."""
        return [env_id for flow, mine in self._by_part(env_ids) for env_id in flow.failed(mine)]

    def collect(self, env_ids: Sequence[int]) -> Reply | None:
        """What taken envs have beyond arrays, once."""
        found = [flow.collect(mine.tolist()) for flow, mine in self._by_part(np.array(env_ids))]
        replies = [reply for reply in found if reply is not None]
        return Reply.merged(replies) if replies else None

    def _by_part(self, env_ids: EnvIds) -> list[tuple[Flow, EnvIds]]:
        numbers = self._part_of[env_ids]
        return [(self._flows[n], env_ids[numbers == n]) for n in np.unique(numbers).tolist()]
