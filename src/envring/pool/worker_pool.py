# SPDX-License-Identifier: MIT
"""Worker processes and the segment they share: life, death and messages.

A pool does not know Gymnasium: it moves batches between slots and workers. The batcher knows what
a batch means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from envring._foreign.envring_worker.data import actions as codes
from envring.core import _core
from envring.errors import EnvringError, format_env_ids
from envring.pool import ending
from envring.pool.deaths import Deaths
from envring.pool.flow import WorkerFlow
from envring.pool.protocol import StepParts
from envring.pool.relays import Relays
from envring.pool.replies import Replies
from envring.pool.reply import Reply
from envring.pool.restarting import Restarts
from envring.transport.channel import ChannelClosed
from envring.transport.forked import own
from envring.transport.segment import MappedSegment, SegmentFile
from envring.workers import starting
from envring.workers.descriptors import fill_standard
from envring.workers.foreign import ForeignWorker
from envring.workers.handle import WorkerHandle
from envring.workers.lifeline import Lifeline
from envring.workers.options import Placement, PoolOptions
from envring.workers.relay import Relay

_NEVER = 1 << 62  # ns
_SLICE = 0.05  # seconds between two looks for the dead


class WorkerPool:
    """A `Pool` of worker processes, each with a contiguous slice of envs.

    `close` or garbage collection ends it.

    Attributes:
        workers: the processes, as this one sees them.
        replies: reads what they answer; once they are attached.
        relays: of workers that answer by their channels.
    """

    detaches = True
    vectors: Sequence[tuple[int, int]] | None = None

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Any]],
        placements: Sequence[Placement],
        options: PoolOptions,
    ) -> None:
        """Starts the workers; `greet` waits for them.

        Args:
            env_fns: functions that build the envs, by env id; env sources for launchers.
            placements: one per worker; they need not hold all of the envs.
            options: how workers are started.

        Raises:
            LaunchError: a launcher cannot start a worker; the type says why.
            EnvFnError: env_fns cannot be sent to a worker.
        """
        self.num_envs = sum(len(p.env_ids) for p in placements)
        self.num_workers = self.num_rings = len(placements)
        self.spans = [(p.env_ids[0], p.env_ids[-1] + 1) for p in placements]
        self.foreign = any(p.launcher is not None for p in placements)
        self.apart = self.foreign  # what they map they may write, so they share no segment
        self.compiled = options.compiled
        self.options = options
        self.port: _core.CallerPort | None = None
        self.segment: MappedSegment | None = None
        self.replies: Replies
        self.paths: list[_core.StepPath | _core.PartPath] = []  # short ways, which an end blocks
        self.relays = Relays(self)
        self.deaths = Deaths(self)
        self.hints, self.any_info = 0, False
        self.workers: list[WorkerHandle] = []
        fill_standard()
        lifeline = Lifeline()
        self.segment_file = SegmentFile(named=starting.needs_name(placements))
        own(self.segment_file)
        self.belongings = ending.register(self, self.workers, lifeline, self.segment_file)
        try:
            starting.start_workers(
                self.workers, env_fns, placements, options, lifeline, self.segment_file
            )
            for worker in self.workers:
                self.deaths.expect(worker)
            self.deaths.replace(env_fns, placements)
        except BaseException:
            self.abandon()
            raise

    def greet(self) -> None:
        """Waits until every env is built.

        Raises:
            HandshakeError: what a launcher started is not a worker.
            WorkerDied: a worker ended while it built its envs.
            LaunchError: an env could not be built and its error cannot travel.
            WorkerTimeout: time was up.
            Exception: whatever an env's constructor raised.
        """
        try:
            self.descriptions = starting.greet(self.workers, self.options.start_timeout)
        except BaseException:
            self.abandon()
            raise

    def renumber(self, spans: Sequence[tuple[int, int]]) -> None:
        """Gives the envs other ids: they are those of vector envs."""
        self.spans, self.num_envs = list(spans), sum(end - first for first, end in spans)
        for worker, span in zip(self.workers, spans, strict=True):
            worker.env_ids = tuple(range(*span))

    def attach(self, segment: MappedSegment, plans: Mapping[str, Any]) -> None:
        """Gives every worker the segment."""
        self.segment = segment
        self.port = _core.CallerPort(
            segment.core,
            self.options.spin,
            self.options.adaptive,
            self.options.yield_every,
            self.num_envs,
        )
        self.deaths.watch()
        # before workers have the segment: from then on an env may write nonsense into its header
        for w, description in enumerate(self.descriptions):
            if description.get("foreign") and not description.get("native"):
                self.relays[w] = Relay(w, self.workers[w], segment)
        num_leaves = len(segment.spec.obs_leaves)
        self.replies = Replies(self.port, self.workers, self.relays, num_leaves)
        if self.restarts is not None:
            plans = self.restarts.plans(plans)
        starting.attach(self.workers, segment, plans, self.segment_file, self.options.start_timeout)

    @property
    def restarts(self) -> Restarts | None:
        """What starts workers again; None: nothing does."""
        return self.deaths.restarts

    @property
    def processes(self) -> list[Any]:
        """The worker processes, as `Pool` has them."""
        return [worker.process for worker in self.workers]

    def short_path(self, parts: StepParts) -> _core.StepPath | None:
        """The short way through a step; none where a worker gets its commands by its channel."""
        assert self.port is not None
        if self.relays:
            return None
        self.paths.append(path := _core.StepPath(self.port, *parts))
        return path

    # -- batches ----------------------------------------------------------------------------

    def flow(self) -> WorkerFlow:
        """Its envs, each on its own; see `Pool`."""
        return WorkerFlow(self)

    def start_step(self, slot: int, action: int) -> None:
        """Starts a step or a reset of every env; see `Pool`."""
        self.raise_if_dead()
        watch = self.belongings.watch
        if self.restarts is not None and watch is not None and watch.noticed():
            self.look_for_deaths()  # what is inside a dead sandbox may answer, and for long
        self._begin("reset" if action == codes.RESET else "step").start_step(slot, action)
        if self.relays:
            self.relays.forward()

    def start(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Starts a batch of another kind: one message per worker, each of which is answered."""
        self.raise_if_dead()
        encoded = self.encode(messages)
        if self.restarts is not None:
            self.restarts.note(messages, encoded)
        self.start_encoded(messages[0][0], encoded)

    def start_encoded(self, name: str, messages: Sequence[bytes]) -> None:
        """`start`, with messages of that name that are encoded already."""
        self._begin(name)
        self._send(messages, answered=True)

    def expect(self, name: str) -> None:
        """Says what the batch under way is, if it was posted to the port itself."""
        self.deaths.patience.begin(name)

    def _begin(self, name: str) -> _core.CallerPort:
        """Begins a batch: the port, with which it is to be posted next."""
        assert self.port is not None
        if self.port.uncollected:
            self.replies.drop()
        self.deaths.patience.begin(name)
        self.port.uncollected = True
        return self.port

    def tell(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Sends one message per worker, none of which is answered."""
        self.raise_if_dead()
        encoded = self.encode(messages)
        if self.restarts is not None:
            self.restarts.note(messages, encoded)
        self.tell_encoded(encoded)

    def tell_encoded(self, messages: Sequence[bytes]) -> None:
        """`tell`, with messages that are encoded already."""
        self.deaths.patience.begin()
        self._send(messages, answered=False)

    def encode(self, messages: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """Encodes before anything is posted, so that what cannot travel changes nothing."""
        done: dict[tuple[int, int], bytes] = {}
        encoded = []
        for worker, message in zip(self.workers, messages, strict=True):
            if message[0] == "replace":
                assert isinstance(worker, ForeignWorker)
                encoded.append(worker.channel.encode(("replace", worker.data_of(message[1]))))
                continue
            key = (id(message), id(worker.channel.wire))
            if key not in done:
                done[key] = worker.channel.encode(message)
            encoded.append(done[key])
        return encoded

    def _send(self, messages: Sequence[bytes], answered: bool) -> None:
        assert self.port is not None
        if self.restarts is not None:
            self.restarts.posts()
        try:
            self.port.post_messages(answered)
            if self.relays:
                self.relays.forward()
            for w, message in enumerate(messages):
                self.send_to(w, message)
        except (EnvringError, ChannelClosed):
            raise
        except BaseException:
            # Ctrl-C came between the messages: workers would read the next one at a wrong place.
            if self.deaths.error is None:
                env_ids = [env_id for worker in self.workers for env_id in worker.env_ids]
                self.deaths.end(
                    EnvringError(
                        f"A message to {format_env_ids(env_ids)} was interrupted. "
                        "Close this vector env and make a new one."
                    )
                )
            raise

    def send_to(self, w: int, message: bytes) -> None:
        """Sends an encoded message to one worker."""
        worker = self.workers[w]
        if self.restarts is not None and self.restarts.take(w, message):
            return
        try:
            worker.channel.send_encoded(message, partial(self.deaths.look_for_late, worker))
        except ChannelClosed:
            self.lost(worker)

    def lost(self, worker: WorkerHandle) -> None:
        """Raises if a worker whose channel is closed is not replaced."""
        worker.wait_until_dead(1.0)
        self.look_for_deaths()
        w = self.workers.index(worker) if worker in self.workers else None
        if self.restarts is None or (w is not None and not self.restarts.is_missing(w)):
            raise ChannelClosed

    def send_actions(self, actions: Sequence[Any]) -> None:
        """Sends a batch of actions, one per env, ahead of a step."""
        self.tell([("actions", list(actions[first:end])) for first, end in self.spans])

    def wait(self, deadline: float | None) -> bool:
        """Waits for the batch. Returns False when time was up; it can be waited for again.

        Args:
            deadline: time.monotonic() at which to give up, or None.

        Raises:
            WorkerDied: a worker ended.
            WorkerTimeout: workers took longer than they may; they were killed.
        """
        self.raise_if_dead()
        port = self.port
        assert port is not None
        until = _NEVER if deadline is None else int(deadline * 1e9)
        look = time.monotonic() + _SLICE
        while True:
            if self.relays and not self.relays.wait(deadline):
                return False
            state = port.wait(until if self.restarts is None else self.restarts.slice(until))
            if state == _core.COMPLETE:
                if self.restarts is not None:
                    self.restarts.raise_interrupted()
                return True
            now = time.monotonic()
            if state == _core.RANG:
                self.drain()
                # a worker that rings without end must not keep us from looking
                if now < look:
                    continue
            look = now + _SLICE
            self.deaths.look_for_late()
            if deadline is not None and now >= deadline and port.wait(0) != _core.COMPLETE:
                return False

    def collect(self) -> Reply | None:
        """What the complete batch has beyond arrays, or None."""
        reply = self.replies.collect()
        self.deaths.patience.begin()  # a step, if nobody says otherwise
        self.any_info, self.hints = self.replies.any_info, self.replies.hints
        if self.replies.leaving and self.restarts is not None:
            self.restarts.prepare(self.replies.leaving)
        return reply

    def drain(self) -> None:
        """Makes room in the reply rings and lets waiting workers go on."""
        try:
            self.replies.drain()
        except EnvringError as error:
            raise self.deaths.end(error) from error.__cause__

    # -- death and the end ------------------------------------------------------------------

    def forget_death(self) -> None:
        """Drops the error of a dead worker, whose traceback holds this pool and its memory."""
        self.deaths.error = None

    def raise_if_dead(self) -> None:
        """Raises what ended this pool, if something did."""
        if self.deaths.error is not None:
            raise self.deaths.error

    def look_for_deaths(self) -> None:
        """Raises WorkerDied if a worker ended that is not replaced."""
        self.deaths.look()

    @property
    def can_be_asked(self) -> bool:
        """Whether the workers listen: attached, none died, no batch under way."""
        return self.port is not None and self.deaths.error is None and not self.port.in_flight

    def close(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the envs and ends the workers; warns of those that had to be killed."""
        self.end(timeout, terminate).warn()

    def end(self, timeout: float | None = None, terminate: bool = False) -> ending.Closing:
        """`close`, and what became of the envs instead of warnings; see `ending.close`."""
        self.deaths.stop_restarts()
        return ending.close(self, timeout, terminate)

    def abandon(self) -> None:
        """Ends the workers of a pool that nobody closed; see `ending.abandon`."""
        ending.abandon(self)
