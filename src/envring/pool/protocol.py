# SPDX-License-Identifier: MIT
"""What a batcher expects of a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from envring.core import _core
from envring.pool.flow import Flow
from envring.pool.lost import Last
from envring.pool.reply import Reply
from envring.transport.segment import MappedSegment, SegmentFile


class StepParts(NamedTuple):
    """What a batcher gives to the short way through a step."""

    slots: _core.SlotPool
    reader: _core.BatchReader
    actions: _core.ActionSlab | None
    ints: _core.IntSlab | None
    leases: bool


class Restarting(Protocol):
    """Starts workers again.

    Attributes:
        last: where last observations are.
    """

    last: Last | None


class Pool(Protocol):
    """Steps envs, which are divided into contiguous slices.

    Life: it is opened with its envs built; `descriptions` say what they are; `attach` gives it the
    segment that batches move through; then one batch at a time: `start_step` or `start`, `wait`,
    `collect`; `close` ends it. A pool knows no spaces: the batcher knows what a batch means.
    """

    @property
    def num_envs(self) -> int:
        """Number of envs."""

    @property
    def num_workers(self) -> int:
        """Number of worker processes, 0 if envs are stepped in this one."""

    @property
    def num_rings(self) -> int:
        """How many workers the segment needs rings for."""

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        """First env and the one after the last, by slice. A message goes to each slice."""

    @property
    def vectors(self) -> Sequence[tuple[int, int]] | None:
        """First env and the one after the last, by vector env; None if all are single envs."""

    @property
    def descriptions(self) -> Sequence[Mapping[str, Any]]:
        """What each slice's envs are; see `describe` in `workers/local_main.py`."""

    @property
    def foreign(self) -> bool:
        """Whether some env runs in another interpreter, whose values arrive as plain data."""

    @property
    def detaches(self) -> bool:
        """Whether values that were collected are copies of what the envs hold."""

    @property
    def compiled(self) -> bool:
        """Whether the compiled step loop was asked for."""

    @property
    def processes(self) -> Sequence[Any]:
        """The worker processes."""

    @property
    def segment_file(self) -> SegmentFile | None:
        """Where the segment must lie; None for memory of this process."""

    @property
    def restarts(self) -> Restarting | None:
        """Starts workers again; None: nothing does."""

    @property
    def any_info(self) -> bool:
        """Whether any env had an info in the batch that was collected last."""

    @property
    def hints(self) -> int:
        """What workers noticed in the batch that was collected last: `_core.HINT_...`."""

    def greet(self) -> None:
        """Waits until every env is built."""

    def attach(self, segment: MappedSegment, plans: Mapping[str, Any]) -> None:
        """Gives every slice the segment, and the plans of observations and actions."""

    def short_path(self, parts: StepParts) -> _core.StepPath | _core.RemotePath | None:
        """The short way through a step, or None if this pool has none."""

    def flow(self) -> Flow:
        """Its envs, each on its own."""

    def start_step(self, slot: int, action: int) -> None:
        """Starts a step of every env into a slot; `action` says how the actions travel.

        The code RESET in its place has every env reset, with neither seed nor options.
        """

    def send_actions(self, actions: Sequence[Any]) -> None:
        """Sends a batch of actions, one per env, ahead of a step."""

    def start(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Starts a batch of another kind: one message per slice, each of which is answered."""

    def tell(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Sends one message per slice, none of which is answered."""

    def wait(self, deadline: float | None) -> bool:
        """Waits for the batch, until time.monotonic() is at the deadline: then returns False.

        Raises:
            WorkerDied: a worker ended.
        """

    def drain(self) -> None:
        """Makes room for workers whose replies are longer than their rings."""

    def collect(self) -> Reply | None:
        """What the complete batch has beyond arrays, or None."""

    def close(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the envs and ends the workers."""

    def abandon(self) -> None:
        """Ends a pool that nobody closed, within about a second."""
