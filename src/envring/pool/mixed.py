# SPDX-License-Identifier: MIT
"""A pool of pools: workers of several interpreters, each kind with a segment of its own, and hosts.

An env can write everywhere in the segment that its worker maps. So workers of different launchers
map different segments: none of them can change what another one's envs returned, or what a local
worker, whose replies are unpickled, has written. The batcher's segment is mapped by local workers
and by this process only; rows of all others are copied into it once a batch is complete. Those of
hosts are received into it: a host writes no memory here.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from envring.errors import WorkerRestarted
from envring.launchers.base import Launcher
from envring.pool import ending
from envring.pool.lost import Last
from envring.pool.mirror import columns
from envring.pool.mixed_flow import MixedFlow
from envring.pool.protocol import Restarting
from envring.pool.remote import RemotePool
from envring.pool.reply import Reply
from envring.pool.worker_pool import WorkerPool
from envring.transport.segment import MappedSegment, SegmentMemoryError, create
from envring.workers.options import Placement, PoolOptions

_SLICE = 0.005  # seconds for which one part is waited for while others are under way, too


@dataclass
class _Part:
    """The workers of one launcher, or a host.

    Attributes:
        pool: they.
        which: numbers of their spans, among those of all parts.
        segment: their own, or None for local workers and hosts, whose rows are in the batcher's.
    """

    pool: WorkerPool | RemotePool
    which: list[int]
    segment: MappedSegment | None = None


class RestartsOfParts:
    """What starts workers of several pools again."""

    def __init__(self, parts: Sequence[Restarting]) -> None:
        """Has those of each."""
        self._parts = parts

    @property
    def last(self) -> Last | None:
        """Where last observations are."""
        return self._parts[0].last

    @last.setter
    def last(self, last: Last | None) -> None:
        for part in self._parts:
            part.last = last


def _note(part: _Part, messages: Sequence[tuple[Any, ...]], encoded: Sequence[Any]) -> None:
    """Tells what starts a part's workers again what they are about to be sent."""
    if part.pool.restarts is not None:
        part.pool.restarts.note([messages[number] for number in part.which], encoded)


class MixedPool:
    """A `Pool` over the workers of several launchers."""

    foreign = True
    detaches = True
    hints = 0
    any_info = False
    vectors: Sequence[tuple[int, int]] | None = None

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Any]],
        placements: Sequence[Placement],
        options: PoolOptions,
        hosts: Sequence[RemotePool] = (),
    ) -> None:
        """Starts the workers; the arguments are those of WorkerPool.

        The envs of hosts, which were asked for already, come after all others.
        """
        self.num_envs = len(env_fns)
        self.num_workers = len(placements)
        self.spans = [(p.env_ids[0], p.env_ids[-1] + 1) for p in placements]
        self.parts: list[_Part] = []
        for number, host in enumerate(hosts, len(placements)):
            self.spans += host.spans
            self.parts.append(_Part(host, [number]))
        self.compiled = options.compiled
        self._interrupted: WorkerRestarted | None = None
        self._columns: dict[int, list[tuple[int, int]]] = {}  # (offset, bytes) by template id
        self._slot: int | None = None  # that the batch under way fills
        by_launcher: dict[Launcher | None, list[int]] = {}
        for number, placement in enumerate(placements):
            by_launcher.setdefault(placement.launcher, []).append(number)
        try:
            for which in by_launcher.values():
                pool = WorkerPool(env_fns, [placements[number] for number in which], options)
                self.parts.append(_Part(pool, which))
        except BaseException:
            self.abandon()
            raise
        local = next(
            (part.pool for part in self.parts if not part.pool.apart and part.pool.segment_file),
            None,
        )
        self.segment_file = None if local is None else local.segment_file
        self.num_rings = 1 if local is None else local.num_rings

    def greet(self) -> None:
        """Waits until every env is built; see WorkerPool."""
        try:
            for part in self.parts:
                part.pool.greet()
        except BaseException:
            self.abandon()
            raise
        self.descriptions = self._in_order(lambda part: part.pool.descriptions)

    @property
    def restarts(self) -> RestartsOfParts | None:
        """What starts workers of the parts again; None: nothing does."""
        found = [part.pool.restarts for part in self.parts if part.pool.restarts is not None]
        return RestartsOfParts(found) if found else None

    def renumber(self, spans: Sequence[tuple[int, int]]) -> None:
        """Gives the envs other ids: they are those of vector envs."""
        for part in self.parts:
            assert isinstance(part.pool, WorkerPool)  # hosts refuse vector envs
            part.pool.renumber([spans[number] for number in part.which])
        self.spans, self.num_envs = list(spans), spans[-1][1]

    def _in_order(self, of_part: Callable[[_Part], Sequence[Any]]) -> list[Any]:
        """One value per span, from those of each part."""
        found: list[Any] = [None] * len(self.spans)
        for part in self.parts:
            for number, value in zip(part.which, of_part(part), strict=True):
                found[number] = value
        return found

    @property
    def processes(self) -> list[Any]:
        """The worker processes, in the order of their envs."""
        found = self._in_order(lambda part: part.pool.processes or [None] * len(part.which))
        return [process for process in found if process is not None]

    def attach(self, segment: MappedSegment, plans: Mapping[str, Any]) -> None:
        """Gives local workers the segment, and makes one for each kind of the others."""
        self.segment = segment
        for part in self.parts:
            if not part.pool.apart:
                part.pool.attach(segment, plans)
                if isinstance(part.pool, RemotePool):
                    part.pool.be_part()
                continue
            config = {
                **segment.spec.config,
                "num_slots": 1,
                "num_workers": part.pool.num_workers,
            }
            spec = dataclasses.replace(segment.spec, config=config)
            part.segment = create(spec, part.pool.segment_file)
            part.pool.attach(part.segment, plans)

    def short_path(self, *_: Any) -> None:
        """None: a batch is several, and rows are copied."""

    def flow(self) -> MixedFlow:
        """Its envs, each on its own; see `Pool`."""
        return MixedFlow(self, self._copy_rows)

    # -- batches ----------------------------------------------------------------------------

    def start_step(self, slot: int, action: int) -> None:
        """Starts a step of every env; see `Pool`."""
        self.raise_if_dead()
        self._slot = slot
        for part in self.parts:
            if part.segment is None:
                part.pool.start_step(slot, action)
            else:
                part.segment.action_slab[...] = self.segment.action_slab
                part.pool.start_step(0, action)

    def send_actions(self, actions: Sequence[Any]) -> None:
        """Sends a batch of actions, one per env, ahead of a step."""
        self.tell([("actions", list(actions[first:end])) for first, end in self.spans])

    def start(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Starts a batch of another kind; see `Pool`."""
        self.raise_if_dead()
        encoded = [(part, part.pool.encode(self._mine(part, messages))) for part in self.parts]
        name, *arguments = messages[0]
        self._slot = arguments[0] if name == "reset" else None
        for part, each in encoded:
            _note(part, messages, each)
            part.pool.start_encoded(name, each)

    def tell(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Sends one message per slice, none of which is answered."""
        self.raise_if_dead()
        encoded = [(part, part.pool.encode(self._mine(part, messages))) for part in self.parts]
        name, *arguments = messages[0]
        if name == "templates":
            self._add_templates(arguments[0])
        for part, each in encoded:
            _note(part, messages, each)
            part.pool.tell_encoded(each)

    def _mine(self, part: _Part, messages: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """A part's messages. Its own segment has one slot."""
        mine = [messages[number] for number in part.which]
        if part.segment is None or mine[0][0] != "reset":
            return mine
        return [("reset", 0, *message[2:]) for message in mine]

    def wait(self, deadline: float | None) -> bool:
        """Waits for the batch in all parts; see `Pool`."""
        waiting = self.parts
        while waiting:
            end = deadline
            if len(waiting) > 1:  # a part that hangs must not hide the death of another
                end = time.monotonic() + _SLICE
                end = end if deadline is None else min(end, deadline)
            waiting = [part for part in waiting if not self._wait_for(part, end)]
            if waiting and deadline is not None and time.monotonic() >= deadline:
                return False
        error, self._interrupted = self._interrupted, None
        if error is not None:  # now that the batch is complete in all parts
            self.collect()
            raise error
        return True

    def _wait_for(self, part: _Part, deadline: float | None) -> bool:
        try:
            return part.pool.wait(deadline)
        except WorkerRestarted as error:
            self._interrupted = error
            return True

    def drain(self) -> None:
        """Makes room in the reply rings of all parts."""
        for part in self.parts:
            part.pool.drain()

    def collect(self) -> Reply | None:
        """What the complete batch has beyond arrays, or None; copies rows into the slot."""
        replies = [part.pool.collect() for part in self.parts]
        self.any_info = any(part.pool.any_info for part in self.parts)
        self.hints = 0
        for part in self.parts:
            self.hints |= part.pool.hints
        slot, self._slot = self._slot, None
        if slot is not None:
            for part in self.parts:
                if part.segment is not None:
                    for number in part.which:
                        self._copy_rows(part.segment, slot, slice(*self.spans[number]))
        found = [reply for reply in replies if reply is not None]
        return Reply.merged(found) if found else None

    def _copy_rows(self, own: MappedSegment, slot: int, rows: slice) -> None:
        """Copies what one worker stored into the batcher's segment.

        Each part of a row is read once: what a worker writes afterwards changes nothing.
        """
        ours = self.segment
        leaves, *outcomes = ours.slot_arrays(slot)
        own_leaves, *own_outcomes = own.slot_arrays(0)
        ours.template_ids[rows] = own.template_ids[rows]
        ours.final_marks[rows] = own.final_marks[rows]
        pairs = [*zip(leaves, own_leaves, strict=True), *zip(outcomes, own_outcomes, strict=True)]
        if ours.final_marks[rows].any():
            pairs += zip(ours.final_arrays, own.final_arrays, strict=True)
        for to, source in pairs:
            if to is not None:
                to[rows] = source[rows]
        for template_id in set(ours.template_ids[rows].tolist()):
            for offset, nbytes in self._columns.get(template_id, ()):
                cells = slice(offset + rows.start * nbytes, offset + rows.stop * nbytes)
                ours.info_area[cells] = own.info_area[cells]

    def _add_templates(self, templates: Sequence[tuple[int, Sequence[Any]]]) -> None:
        for template_id, entries in templates:
            found = self._columns[template_id] = list(columns(entries))
            end = max((at + nbytes * self.num_envs for at, nbytes in found), default=0)
            for part in self.parts:
                if part.segment is not None and not part.segment.back_infos(end):
                    raise SegmentMemoryError(
                        "There is no shared memory left for another column of infos. Raise the "
                        "memory limit of this container, or return fewer different infos."
                    )

    # -- the end ----------------------------------------------------------------------------

    def raise_if_dead(self) -> None:
        """Raises what ended a part, if something did."""
        for part in self.parts:
            part.pool.raise_if_dead()

    def close(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the envs and ends the workers; see WorkerPool."""
        deadline = time.monotonic() + (ending.CLOSE_SECONDS if timeout is None else timeout)
        try:
            for part in self.parts:
                if isinstance(part.pool, RemotePool):
                    part.pool.ask_to_close(timeout, terminate)
            for part in self.parts:
                part.pool.close(max(deadline - time.monotonic(), 0.0), terminate)
        except BaseException:  # the others are to end all the same
            self.abandon()
            raise

    def abandon(self) -> None:
        """Ends the workers of a pool that nobody closed."""
        for part in self.parts:
            part.pool.abandon()
