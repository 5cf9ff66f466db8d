# SPDX-License-Identifier: MIT
"""Envs on a host that are had again if it is lost: `on_worker_death="restart"` with `remotes=`.

A lost connection, host or worker there is the death of all envs of the session. Others are asked
for, of the same host or of another one of the list, by a thread (`attempts.py`). They are told what
was lost, and what was under way is asked of them again, as of a local worker in another's place.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from envring._foreign.envring_worker.data import actions as codes
from envring._foreign.envring_worker.loop import NEXT_STEP
from envring.errors import (
    EnvringError,
    HostLost,
    LaunchError,
    UnsendableError,
    WireError,
    WorkerDied,
    WorkerRestarted,
    WorkerTimeout,
)
from envring.launchers.sources import EnvSource
from envring.pool.attempts import FIRST_PAUSE, LONGEST_PAUSE, Attempt, Wanted
from envring.pool.dialling import Dialled
from envring.pool.lost import Last, what_was_lost
from envring.pool.mirror import pack_ids, unpack_ids
from envring.pool.protocol import StepParts
from envring.pool.remote import RemotePool
from envring.pool.remote_data import check_description, wish
from envring.pool.seeds import Seeds
from envring.pool.successors import headline
from envring.transport import codec, frames
from envring.transport.addresses import Address
from envring.transport.frames import Frame
from envring.transport.segment import MappedSegment
from envring.workers.limits import RestartPolicy
from envring.workers.options import PoolOptions

log = logging.getLogger("envring")

_SHORT_LIFE = 1.0  # seconds: after a session that lived no longer there is a pause


def _without_name(address: Address) -> Address:
    """The address without the name of a session: that one's envs are those that are lost."""
    options = {key: value for key, value in address.options.items() if key != "session"}
    return replace(address, options=options)


class Reconnects:
    """What a pool knows in order to have its envs again.

    Attributes:
        last: where last observations are.
        number: how often they were had again.
        seeds: those that envs were given.
        templates: bodies of TEMPLATES that were sent.
        told: arguments of the next resets, by env counted from the session's first.
        arguments: those of resets that are under way.
    """

    def __init__(self, policy: RestartPolicy, first: int) -> None:
        """Begins with nothing lost; `first` is the first env."""
        self.last: Last | None = None
        self.number = 0
        self.seeds = Seeds()
        self.templates: list[bytes] = []
        self.told: dict[int, Any] = {}
        self.arguments: dict[int, Any] = {}
        self.policy = policy
        self._first = first
        self._begun: deque[float] = deque()
        self._short_lives = 0

    def note(self, messages: Sequence[tuple[Any, ...]], encoded: Sequence[Any]) -> None:
        """Notes the message that is about to be sent."""
        ((name, *arguments),) = messages
        if name == "templates":
            self.templates.append(encoded[0][2])
        elif name == "reset":
            _, seeds, _, mask, *_ = arguments
            for i, seed in enumerate(seeds):
                if mask is None or mask[i]:
                    self.seeds.note(self._first + i, seed)
        elif name == "reset_arguments":
            self.told = dict(arguments[0])
            for i, (seed, _) in arguments[0].items():
                self.seeds.note(self._first + i, seed)

    def sent(self, envs: Sequence[int]) -> None:
        """Envs are sent for a reset, with what was told of it."""
        told, self.told = self.told, {}
        for i in envs:
            self.arguments[i] = told.get(i)

    def pause(self, error: EnvringError) -> float | None:
        """Counts a loss; seconds until they are asked for, or None: there were too many."""
        now, begun = time.monotonic(), self._begun
        while begun and begun[0] < now - self.policy.window:
            begun.popleft()
        if len(begun) >= self.policy.most:
            why = (
                f"It was connected to again {len(begun)} times within {self.policy.window:g} "
                "seconds, and max_restarts allows no more. "
            )
            if isinstance(error, WorkerDied):
                error.restarts, error.why_not_again = len(begun), why
            else:
                error.add_note(why.rstrip())
            return None
        short = begun and now - begun[-1] < _SHORT_LIFE
        self._short_lives = self._short_lives + 1 if short else 0
        begun.append(now)
        self.number += 1
        return min(FIRST_PAUSE * 2.0 ** (self._short_lives - 1), LONGEST_PAUSE) if short else 0.0


class ReconnectingPool(RemotePool):
    """A RemotePool whose envs are had again.

    Args:
        sources, env_ids, dialled, options, workers: as for RemotePool.
        others: addresses of hosts that may have the envs if this one is gone.
    """

    restarts: Reconnects  # type: ignore[assignment]

    def __init__(
        self,
        sources: Sequence[EnvSource],
        env_ids: range,
        dialled: Dialled,
        options: PoolOptions,
        workers: int | None = None,
        others: Sequence[Address] = (),
    ) -> None:
        """Asks for the envs; `greet` waits for them."""
        assert options.restarts is not None
        self.restarts = Reconnects(options.restarts, env_ids.start)
        self._sources = sources
        self._workers = workers
        self._others = others
        self._plans: Mapping[str, Any] | None = None  # once it is attached
        self._attempt: Attempt | None = None
        self._lost: EnvringError | None = None
        self._request: tuple[int, Sequence[Any]] = (0, ())  # of the batch under way
        self._name = "step"
        self._takes_told = False  # whether envs are about to be sent for a reset
        self._interrupted: WorkerRestarted | None = None
        super().__init__(sources, env_ids, dialled, options, workers)

    def attach(self, segment: MappedSegment, plans: Mapping[str, Any]) -> None:
        """Takes the segment that rows are to be received into."""
        super().attach(segment, plans)
        self._plans = plans

    def short_path(self, parts: StepParts) -> None:
        """None: what is under way must be known here."""

    def be_part(self) -> None:
        """Takes the long way."""

    # -- what is asked for --------------------------------------------------------------------

    def start(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Starts a batch of another kind; see `Pool`."""
        self.raise_if_dead()
        encoded = self.encode(messages)
        self.restarts.note(messages, encoded)
        self.start_encoded(messages[0][0], encoded)

    def tell(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Sends messages that are not answered."""
        self.raise_if_dead()
        encoded = self.encode(messages)
        self.restarts.note(messages, encoded)
        self.tell_encoded(encoded)

    def start_step(self, slot: int, action: int) -> None:
        """Starts a step or a reset of every env; see `Pool`."""
        self._name = "reset" if action == codes.RESET else "step"
        super().start_step(slot, action)

    def start_encoded(self, name: str, messages: Sequence[Any]) -> None:
        """Starts a batch, with messages of that name that are encoded already."""
        self._name = name
        super().start_encoded(name, messages)

    def _begin(self, kind: int, body: Sequence[Any], slot: int) -> None:
        self._request = kind, body
        super()._begin(kind, body, slot)

    def take_told(self, code: int) -> bytes | None:
        """What was told for the next step or reset of that code, once."""
        self._takes_told = code == codes.RESET
        return super().take_told(code)

    # -- the connection -----------------------------------------------------------------------

    def send(self, kind: int, body: Sequence[Any], number: int = 0) -> None:
        """Sends a frame. If there is no connection, it is sent when there is one again."""
        if kind == frames.SOME and self._takes_told:
            self._takes_told = False
            envs, _ = unpack_ids(memoryview(body[1]), self.num_envs)
            self.restarts.sent(envs.tolist())
        if self._attempt is not None:
            return
        try:
            super().send(kind, body, number)
        except EnvringError as error:
            if self._lost is not error and isinstance(error, (WorkerDied, WorkerTimeout)):
                self._end(error)  # the last words of a host
            if isinstance(error, UnsendableError) or not self._begin_again(error):
                raise

    def receive(self, deadline: float | None) -> Frame | None:
        """The next frame, None when time was up, or a call was cut off."""
        while self._interrupted is None:
            if self._attempt is not None:
                if not self._attempt.wait(deadline):
                    return None
                self._go_on()
            try:
                return super().receive(deadline)
            except EnvringError as error:
                if not self._begin_again(error):
                    raise
        return None

    def wait(self, deadline: float | None) -> bool:
        """Waits for the batch; see `RemotePool`.

        Raises:
            WorkerRestarted: its envs were lost during a call.
        """
        complete = super().wait(deadline)
        error, self._interrupted = self._interrupted, None
        if error is not None:
            self._waited, self._result = True, None
            self.collect()
            raise error
        return complete

    def fileno(self) -> int:
        """A descriptor that can be read when there is something to do."""
        return super().fileno() if self._attempt is None else self._attempt.fileno()

    def _end(self, error: EnvringError) -> EnvringError:
        """Makes every later call raise the error, unless the envs can be had again."""
        if self._attempt is not None:  # a frame was being sent when the loss was noticed
            self._lost = error
            return error
        again = isinstance(error, (WorkerDied, WorkerTimeout)) and self._plans is not None
        pause = self.restarts.pause(error) if again else None
        if pause is None:
            return super()._end(error)
        assert self._link is not None
        self._link.close()
        self._lost = error
        self._ask_again(pause)
        return error

    def _begin_again(self, error: EnvringError) -> bool:
        """Whether an error was a loss, after which it goes on."""
        if self._lost is not error:
            return False
        self._lost = None
        log.warning("%s It is asked for again.", headline(error))
        if not self._waited and self._request[0] == frames.MESSAGE and self._name != "reset":
            died = error if isinstance(error, WorkerDied) else None
            self._interrupted = WorkerRestarted(
                tuple(self.env_ids), 0, self._name, died, headline(error)
            )
        return True

    # -- other envs ---------------------------------------------------------------------------

    def _ask_again(self, pause: float) -> None:
        first, end = self.spans[0]
        restarts, options = self.restarts, self.options
        restarts.seeds.count(first, end)
        resets = options.autoreset_mode == NEXT_STEP
        lost = what_was_lost(restarts.last, first, end, resets, restarts.seeds, first)
        del lost["ends"]

        def opening(address: Address, heartbeat: float) -> bytes:
            return codec.dumps(wish(address, self._sources, options, self._workers, heartbeat))

        wanted = Wanted(
            [_without_name(each) for each in (self.address, *self._others)],
            self.env_ids,
            self._place,
            opening,
            codec.dumps({**(self._plans or {}), "lost": lost}),
            self._check,
            options.start_timeout,
        )
        self._attempt = Attempt(wanted, pause, time.monotonic() + restarts.policy.window)

    def _check(self, opened: Any) -> None:
        description = opened.get("description") if isinstance(opened, dict) else None
        if not isinstance(description, dict):
            raise WireError("a host did not say what its envs are")
        check_description(description, self.num_envs)
        for name in ("observation_spaces", "action_spaces"):
            if codec.dumps(description[name]) != codec.dumps(self.descriptions[0][name]):
                raise LaunchError(f"a host built envs with other {name.replace('_', ' ')}")

    def _go_on(self) -> None:
        """Takes the connection over, and asks again for what is under way."""
        attempt, self._attempt = self._attempt, None
        assert attempt is not None
        conversation, attempt.conversation = attempt.conversation, None
        address, why = attempt.address, str(attempt.error)
        attempt.close()
        if conversation is None or address is None:
            window = self.restarts.policy.window
            why = f"it could not be had again within {window:g} seconds ({why})"
            raise super()._end(HostLost(tuple(self.env_ids), str(self.address), why))
        self._host, self._link, self.address = conversation, conversation.link, address
        for body in self.restarts.templates:
            self.send(frames.TEMPLATES, [body])
        if not self._waited:
            kind, parts = self._request
            self.send(kind, parts, self._number)
        if self._flow is not None:
            for code, envs in self._flow.owing_by_code().items():
                self._send_again(code, envs)

    def _send_again(self, code: int, envs: Any) -> None:
        rows: list[Any] = []
        if code == codes.SLAB:
            rows = self.action_rows.some(envs)
        elif code == codes.MESSAGE:  # no env that was lost needs its action
            rows = [codec.dumps(dict.fromkeys(envs.tolist()))]
        elif code == codes.RESET:
            found = self.restarts.arguments
            told = {i: found[i] for i in envs.tolist() if found.get(i) is not None}
            rows = [codec.dumps(told)] if told else []
        self.send(frames.SOME, [code.to_bytes(4, "little"), pack_ids(envs), *rows])

    # -- the end --------------------------------------------------------------------------------

    def close(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the envs and the session; a host that is gone is not an error here."""
        self._give_up()
        super().close(timeout, terminate)

    def ask_to_close(self, timeout: float | None, terminate: bool) -> None:
        """Begins to `close`."""
        self._give_up()
        super().ask_to_close(timeout, terminate)

    def abandon(self) -> None:
        """Ends the session of a pool that nobody closed."""
        self._give_up()
        super().abandon()

    def _give_up(self) -> None:
        """Asks for nothing any more."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.close()
            if self._dead is None:
                self._dead = EnvringError("The vector env is closed while its host is missing.")
        self._plans = None
