# SPDX-License-Identifier: MIT
"""A pool whose caller steps a slice itself, while it waits for its workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from envring.core import _core
from envring.errors import WorkerRestarted
from envring.pool.flow import Flow
from envring.pool.inline import InlinePool
from envring.pool.mixed_flow import MixedFlow
from envring.pool.protocol import Restarting, StepParts
from envring.pool.reply import Reply
from envring.pool.worker_pool import WorkerPool
from envring.transport.segment import MappedSegment
from envring.workers.options import Placement, PoolOptions


class _Part(NamedTuple):
    pool: WorkerPool | InlinePool
    which: list[int]
    segment: None = None


class SharingPool:
    """A `Pool` of workers of this interpreter and, for the last envs, of the calling process."""

    foreign = False
    detaches = False  # of its own envs it holds the same objects
    vectors: Sequence[tuple[int, int]] | None = None

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Any]],
        placements: Sequence[Placement],
        options: PoolOptions,
    ) -> None:
        """Starts the workers, and builds the envs that are left.

        Args:
            env_fns: functions that build the envs.
            placements: of the workers, which have all envs but the last ones.
            options: how workers are started.
        """
        first = placements[-1].env_ids[-1] + 1
        self.num_envs = len(env_fns)
        self.num_workers = self.num_rings = len(placements)
        self.compiled = options.compiled
        self._workers = WorkerPool(env_fns, placements, options)
        try:
            self._own = InlinePool(env_fns[first:], options, first)
        except BaseException:
            self._workers.abandon()
            raise
        workers = list(range(len(placements)))
        self.parts = [_Part(self._workers, workers), _Part(self._own, [len(placements)])]
        self.spans = [*self._workers.spans, *self._own.spans]
        self.segment_file = self._workers.segment_file
        self._due: Callable[[], None] | None = None  # what is to be done here for the batch
        self._path: _core.StepPath | None = None
        self.any_info = False
        self.hints = 0

    def greet(self) -> None:
        """Waits until the workers' envs are built; see WorkerPool."""
        try:
            self._workers.greet()
        except BaseException:
            self.abandon()
            raise
        self.descriptions = [*self._workers.descriptions, *self._own.descriptions]

    def renumber(self, spans: Sequence[tuple[int, int]]) -> None:
        """Gives the envs other ids: they are those of vector envs."""
        self._workers.renumber(spans[:-1])
        self._own.renumber(spans[-1:])
        self.spans, self.num_envs = list(spans), spans[-1][1]

    @property
    def restarts(self) -> Restarting | None:
        """Starts workers again; None: nothing does. The caller's own envs are never built anew."""
        return self._workers.restarts

    @property
    def processes(self) -> Sequence[Any]:
        """The worker processes."""
        return self._workers.processes

    def attach(self, segment: MappedSegment, plans: Mapping[str, Any]) -> None:
        """Gives workers and own envs the segment."""
        self.segment = segment
        self._workers.attach(segment, plans)
        self._own.attach(segment, plans)

    def short_path(self, parts: StepParts) -> _core.StepPath | None:
        """The workers' short way, with the own slice stepped on it."""
        if self._own.loop is None:
            return None
        path = self._path = self._workers.short_path(parts)
        if path is not None:
            path.share(self._own.loop, *self._own.spans[0])
        return path

    def flow(self) -> Flow:
        """Its envs, each on its own; see `Pool`."""
        return MixedFlow(self)

    def start_step(self, slot: int, action: int) -> None:
        """Starts a step or a reset of every env; see `Pool`."""
        self._workers.start_step(slot, action)
        self._owe(lambda: self._own.start_step(slot, action))

    def start(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Starts a batch of another kind; see `Pool`."""
        self._workers.start(messages[:-1])
        self._owe(lambda: self._own.start(messages[-1:]))

    def _owe(self, due: Callable[[], None]) -> None:
        self._due = due
        if self._path is not None:
            self._path.held = True

    def tell(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Sends one message per slice, none of which is answered."""
        self._workers.tell(messages[:-1])
        self._own.tell(messages[-1:])

    def send_actions(self, actions: Sequence[Any]) -> None:
        """Sends a batch of actions, one per env, ahead of a step."""
        first, _ = self._own.spans[0]
        self._workers.send_actions(actions)
        self._own.send_actions(actions[first:])

    def raise_if_dead(self) -> None:
        """Raises what ended the workers, if something did."""
        self._workers.raise_if_dead()

    def wait(self, deadline: float | None) -> bool:
        """Does the own part, then waits for the workers; see `Pool`."""
        due, self._due = self._due, None
        if self._path is not None:
            self._path.held = False
            self._path.step_own()
        if due is not None:
            due()
        try:
            return self._workers.wait(deadline)
        except WorkerRestarted:  # whose batch is over
            self._own.collect()
            raise

    def drain(self) -> None:
        """Makes room in the reply rings."""
        self._workers.drain()

    def collect(self) -> Reply | None:
        """What the complete batch has beyond arrays, or None."""
        found = [self._workers.collect(), self._own.collect()]
        self.any_info = self._workers.any_info or self._own.any_info
        self.hints = self._workers.hints
        replies = [reply for reply in found if reply is not None]
        return Reply.merged(replies) if replies else None

    def close(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the envs and ends the workers."""
        try:
            self._workers.close(timeout, terminate)
        finally:
            self._own.close()

    def abandon(self) -> None:
        """Ends a pool that nobody closed."""
        self._workers.abandon()
        self._own.abandon()
