# SPDX-License-Identifier: MIT
"""Processes in the place of workers that died, or have left: `on_worker_death="restart"`.

What a dead worker owed its successor answers: it gets the same command again. Its envs' episodes
are lost, and its first steps of them are their ends (`envring_worker/lost.py`). So whoever waits
for a batch waits for the successor as for any worker, and the others notice nothing. A worker that
has left as planned (`restart_every=`) died between two episodes, so that none is lost.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from envring._foreign.envring_worker.loop import NEXT_STEP
from envring.core import _core
from envring.errors import (
    EnvringError,
    WorkerDied,
    WorkerRestarted,
    format_env_ids,
)
from envring.pool.lost import Last, what_was_lost
from envring.pool.planned import Planned
from envring.pool.seeds import Seeds
from envring.pool.successors import Successor, as_ours, assert_same, headline, last_words
from envring.transport.exceptions import is_of_an_env
from envring.transport.polling import readable
from envring.workers import starting
from envring.workers.foreign import ForeignWorker
from envring.workers.handle import WorkerHandle
from envring.workers.limits import RestartPolicy
from envring.workers.options import Placement

if TYPE_CHECKING:
    from envring.pool.flow import WorkerFlow
    from envring.pool.worker_pool import WorkerPool

log = logging.getLogger("envring")

_SLICE_NS = 2_000_000  # between two looks at successors that start
_SHORT_LIFE = 1.0  # seconds: the successor of a worker that lived no longer has to wait
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 10.0  # seconds; it doubles with each short life that follows
_KILL_SECONDS = 10.0  # for the kernel to end a process that was killed


class Restarts:
    """Starts workers of a pool again.

    Attributes:
        policy: how often.
        last: where last observations are.
        planned: those that leave.
        flow: the pool's envs, each on its own, if they were asked for.
    """

    def __init__(
        self,
        pool: WorkerPool,
        env_fns: Sequence[Callable[[], Any]],
        placements: Sequence[Placement],
        policy: RestartPolicy,
    ) -> None:
        """Keeps what a worker is started from; see `WorkerPool`."""
        self.policy = policy
        self.last: Last | None = None
        self._pool = pool
        self._env_fns = env_fns
        self._placements = placements
        self._plans: Mapping[str, Any] = {}
        self.planned = Planned(len(placements), pool.belongings.beside, pool.relays)
        self._begun: list[deque[float]] = [deque() for _ in placements]
        self._short_lives = [0] * len(placements)  # that followed each other
        self._numbers = [0] * len(placements)  # of restarts
        self._seeds = Seeds()
        self._successors: dict[int, Successor] = {}
        self._messages: Sequence[bytes] = ()  # of the batch, if it is one of messages
        self._name = "step"
        self._arguments: dict[int, Any] = {}  # env id -> (seed, options) of the reset it is in
        self._told: dict[int, Any] = {}  # the same, of the next one
        self.flow: WorkerFlow | None = None
        self._templates: list[Any] = []
        self._interrupted: WorkerRestarted | None = None

    def slice(self, until: int) -> int:
        """Until when to wait, in ns of time.monotonic: soon, if a worker is missing, or leaves."""
        soon = self._successors or self.planned.beside
        return min(until, time.monotonic_ns() + _SLICE_NS) if soon else until

    def plans(self, plans: Mapping[str, Any]) -> Mapping[str, Any]:
        """What workers are told when they attach: from then on those that die are replaced."""
        self._plans = {**plans, "every": self.policy.every}
        return self._plans

    # -- what is said to workers --------------------------------------------------------------

    def note(self, messages: Sequence[tuple[Any, ...]], encoded: Sequence[bytes]) -> None:
        """Notes messages, one per worker, which are about to be sent."""
        name = messages[0][0]
        if name == "templates":
            self._templates += messages[0][1]
        elif name == "reset_arguments":
            self._note_arguments(messages)
        elif name not in ("actions", "some_actions"):  # no env of a dead worker needs its action
            self._messages, self._name = encoded, name
        if name != "reset":
            return
        for (first, _), (_, _, seeds, _, mask, *_) in zip(self._pool.spans, messages, strict=True):
            for i, seed in enumerate(seeds):
                if mask is None or mask[i]:
                    self._seeds.note(first + i, seed)

    def _note_arguments(self, messages: Sequence[tuple[Any, ...]]) -> None:
        for (first, _), (_, given) in zip(self._pool.spans, messages, strict=True):
            for i, (seed, options) in given.items():
                self._told[first + i] = seed, options
                self._seeds.note(first + i, seed)

    def sent(self, env_ids: Sequence[int]) -> None:
        """Envs are sent for a reset, with what was told of it."""
        for env_id in env_ids:
            self._arguments[env_id] = self._told.pop(env_id, None)

    def posts(self) -> None:
        """Messages are about to be posted to all."""
        for successor in self._successors.values():
            successor.takes = True

    def take(self, w: int, message: bytes) -> bool:
        """Keeps a message for a worker that cannot be sent any now; whether it is not to be sent.

        If the worker died after it was posted, that was seen to then.
        """
        successor = self._successors.get(w)
        if successor is None:
            return False
        if successor.takes:
            successor.messages.append(message)
        return True

    # -- deaths -------------------------------------------------------------------------------

    @property
    def under_way(self) -> bool:
        """Whether some worker is missing."""
        return bool(self._successors)

    def is_missing(self, w: int) -> bool:
        """Whether a worker's successor is not yet at work."""
        return w in self._successors

    def is_gone(self, w: int) -> bool:
        """Whether a worker was buried and has no successor yet."""
        return w in self._successors and self._successors[w].worker is None

    def prepare(self, workers: set[int]) -> None:
        """Starts processes beside these workers, which will leave; empties the set."""

        def start(w: int) -> None:
            self._start(w, partial(self.planned.beside.__setitem__, w))

        self.planned.prepare(workers, start)

    def bury(self, w: int, error: EnvringError) -> None:
        """Makes ready for a successor of a worker that is dead, was just killed, or has left.

        Raises:
            EnvringError: the error, if there were too many restarts.
        """
        pool, deaths = self._pool, self._pool.deaths
        worker = pool.workers[w]
        ended = worker.wait_until_dead(_KILL_SECONDS) and worker.wait_until_left(_KILL_SECONDS)
        if not ended:
            raise deaths.end(error)  # the kernel holds it: it may write yet
        pool.relays.hear_out(w)
        successor, delay = self._successors.get(w), 0.0
        if successor is not None and successor.built:  # perhaps it was at work, and nobody looked
            with contextlib.suppress(EnvringError):
                self._advance(w, successor)
            successor = self._successors.get(w)
            if self.is_gone(w):
                return
        if isinstance(error, WorkerDied):
            error = last_words(successor) or error
        if successor is not None and successor.beside:  # alone it may work: a port is free now
            log.info("%s It is started again, now that the other one has left.", headline(error))
            successor.worker, successor.beside = None, False
            successor.greeted = successor.built = False
        elif successor is None and self.planned.has_left(w, worker):
            log.info("The worker of %s is replaced.", format_env_ids(worker.env_ids))
            self._seeds.count(*pool.spans[w])
            self._successors[w] = self._hand_over(w, 0.0, error)
        else:
            delay = self._delay(w, error)
            again = f" in {delay:.1f} s" * (delay > 0)
            log.warning("%s It is started again%s.", headline(error), again)
            self._successors[w] = self._hand_over(w, time.monotonic() + delay, error)
        self._publish(w)
        deaths.forget(worker)
        deaths.watch()
        worker.release()
        worker.process.join(0)
        deaths.patience.begin(deaths.patience.name)

    def _delay(self, w: int, error: EnvringError) -> float:
        """Counts a restart; seconds until it may be made."""
        if not self.policy.most:
            raise self._pool.deaths.end(error)
        now, begun = time.monotonic(), self._begun[w]
        while begun and begun[0] < now - self.policy.window:
            begun.popleft()
        if len(begun) >= self.policy.most:
            why = (
                f"It was started again {len(begun)} times within {self.policy.window:g} seconds, "
                "and max_restarts allows no more. "
            )
            if isinstance(error, WorkerDied):
                error.restarts, error.why_not_again = len(begun), why
            else:
                error.add_note(why.rstrip())
            raise self._pool.deaths.end(error)
        short = begun and now - begun[-1] < _SHORT_LIFE
        self._short_lives[w] = self._short_lives[w] + 1 if short else 0
        delay = min(_FIRST_DELAY * 2.0 ** (self._short_lives[w] - 1), _LONGEST_DELAY) * bool(short)
        begun.append(now + delay)
        self._numbers[w] += 1
        self._seeds.count(*self._pool.spans[w])
        return delay

    def _hand_over(self, w: int, due: float, error: EnvringError) -> Successor:
        """Takes what the dead worker has answered, and has the rest asked of its successor."""
        successor = Successor(due)
        pool, port, flow = self._pool, self._pool.port, self.flow
        assert port is not None
        first, end = pool.spans[w]
        if flow is not None and flow.num_out:
            owing = flow.replace_worker(w)
            pool.relays.lose(w, owes=False)
            self._tell_again(w, successor, flow.to_be_reset(owing))
            flow.post_again(owing)
            return successor
        with contextlib.suppress(EnvringError):  # nonsense that it left is dropped
            pool.replies.drain_one(w)
        op = port.replace_worker(w, first, end)
        if op is not None:
            pool.replies.drop_one(w)
        pool.relays.lose(w, owes=op is not None)
        self._tell_again(w, successor, ())
        if op == _core.OP_MESSAGE and self._name != "reset":
            # whether it was done nobody knows: whoever called has to say what is to become of it
            port.excuse(first, end)
            died = error if isinstance(error, WorkerDied) else None
            self._interrupted = WorkerRestarted(
                pool.workers[w].env_ids, pool.workers[w].pid, self._name, died, headline(error)
            )
            op = None
        if op is not None:
            port.post_again(w)
        if op == _core.OP_MESSAGE:
            successor.messages.append(self._messages[w])
        if op is None and port.in_flight:
            successor.after = port.batch
        return successor

    def _tell_again(self, w: int, successor: Successor, resets: Sequence[int]) -> None:
        """Has seeds and options of resets that are under way, or come next, told again."""
        first, end = self._pool.spans[w]
        given = {env_id: self._arguments.get(env_id) for env_id in resets}
        given.update({env_id: each for env_id, each in self._told.items() if first <= env_id < end})
        message = {env_id - first: each for env_id, each in given.items() if each is not None}
        if message:
            assert self._pool.port is not None
            self._pool.port.post_again(w, told=True)
            encoded = self._pool.workers[w].channel.encode(("reset_arguments", message))
            successor.messages.append(encoded)

    def raise_interrupted(self) -> None:
        """Raises what a complete batch cannot answer, once: calls of envs that died meanwhile."""
        error, self._interrupted = self._interrupted, None
        if error is not None:
            self._pool.collect()
            raise error

    # -- successors ---------------------------------------------------------------------------

    def advance(self) -> None:
        """Does for successors what can be done without waiting.

        Raises:
            EnvringError: there were too many restarts.
        """
        if self.policy.every is not None:
            workers = enumerate(self._pool.workers)
            self.planned.listen([each for each in workers if each[0] not in self._successors])
        for w, successor in list(self._successors.items()):
            if self._successors.get(w) is not successor:
                continue  # it died, and was buried, while something was sent to another one
            try:
                self._advance(w, successor)
            except BaseException as error:
                if not isinstance(error, Exception) and not is_of_an_env(error):
                    raise
                self._failed(w, successor, error)

    def _failed(self, w: int, successor: Successor, error: BaseException) -> None:
        """A successor could not be started, or cannot build its envs: there is to be another."""
        ours = as_ours(error, range(*self._pool.spans[w]))
        if successor.worker is None:  # not even a process
            successor.due = time.monotonic() + self._delay(w, ours)
            return
        if not isinstance(error, WorkerDied):
            successor.worker.process.kill()
        self.bury(w, ours)

    def _advance(self, w: int, successor: Successor) -> None:
        pool, worker, now = self._pool, successor.worker, time.monotonic()
        port = pool.port
        assert port is not None
        assert pool.segment is not None
        timeout = pool.options.start_timeout
        if worker is None:
            if now < successor.due:
                return
            successor.deadline = None if timeout is None else now + timeout
            beside = self.planned.beside.get(w)
            if beside is not None:
                pool.workers[w], successor.beside = beside, True
                del self.planned.beside[w]
            elif pool.workers[w].pidfd < 0:  # else Ctrl-C came right after its start
                self._start(w, partial(pool.workers.__setitem__, w))
            successor.worker = worker = pool.workers[w]
            worker.env_ids = tuple(range(*pool.spans[w]))
            pool.deaths.expect(worker)
            pool.deaths.watch()
            self._publish(w)
            return
        if successor.after == port.batch:
            return
        if not readable([worker.channel.sock.fileno()], 0):
            if isinstance(worker, ForeignWorker) and not successor.greeted and not worker.is_dead():
                worker.look_before_hello()
            if successor.deadline is not None and now >= successor.deadline:
                starting.expect(worker, "ready", successor.deadline, timeout)
            return
        if not successor.built:
            if isinstance(worker, ForeignWorker) and not successor.greeted:
                successor.greeted = True
                worker.greet(timeout)
                return
            _, description = starting.expect(worker, "ready", successor.deadline, timeout)
            assert_same(pool.descriptions[w], description, worker)
            starting.give(worker, pool.segment, self._for(w), pool.segment_file)
            successor.built = True
            return
        starting.expect(worker, "attached", successor.deadline, timeout)
        del self._successors[w]
        self.planned.replaced(w)
        if w in pool.relays:
            pool.relays.find(w, successor.messages)
        else:
            for message in successor.messages:
                pool.send_to(w, message)
        pool.deaths.patience.begin(pool.deaths.patience.name)  # it has its time from now on

    def _start(self, w: int, keep: Callable[[WorkerHandle], None]) -> None:
        pool = self._pool
        assert pool.segment is not None
        starting.start_another(
            keep,
            w,
            self._env_fns,
            self._placements[w],
            pool.options,
            pool.belongings.lifeline,
            pool.segment_file,
            pool.segment.fd,
        )

    def _publish(self, w: int) -> None:
        """Has those who look at the pool from outside find the new process."""
        published = self._pool.belongings.published
        if published is not None:
            with contextlib.suppress(OSError):
                published.rewrite_worker(w, {"pid": self._pool.workers[w].pid, **self.counts(w)})

    def _for(self, w: int) -> dict[str, Any]:
        """What a successor is told when it attaches."""
        resets = self._pool.options.autoreset_mode == NEXT_STEP
        lost = what_was_lost(self.last, *self._pool.spans[w], resets, self._seeds)
        lost["ends"] = self.planned.ends(w)
        return {**self._plans, "lost": lost, "templates": list(self._templates)}

    def counts(self, w: int) -> dict[str, Any]:
        """How often a worker was started again after a death, and replaced as planned."""
        return {"restarts": self._numbers[w], "planned_restarts": self.planned.numbers[w]}
