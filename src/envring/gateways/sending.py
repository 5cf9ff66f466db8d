# SPDX-License-Identifier: MIT
"""A session's envs, each on its own: what SOME asks for, and what DONE answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envring._foreign.envring_worker.data import actions as codes
from envring.batch import messages
from envring.errors import WireError
from envring.gateways.inbox import CallerCloses, Inbox
from envring.gateways.latency import Latency
from envring.gateways.switching import names_an_env
from envring.pool.mirror import ActionRows, Mirror, pack_ids, unpack_ids, which_of
from envring.transport import codec, frames
from envring.transport.frames import Link

if TYPE_CHECKING:
    from envring.gateways.session import Session

_SLICE = 0.25  # seconds between two looks whether the caller is still there
_SHORTEST, _LONGEST = 0.0005, 0.005  # seconds between two looks for requests
_SEND_SECONDS = 30.0  # for a caller to read an answer


def serve(
    sending: Sending,
    body: bytes,
    link: Link,
    inbox: Inbox,
    look: Callable[[], None],
    latency: Latency,
) -> None:
    """Answers a SOME, and those that come before all envs are done.

    Args:
        sending: the session's envs, none of which is out.
        body: of the first SOME.
        link: to the caller.
        inbox: what comes over it.
        look: raises if the session is over.
        latency: counts the seconds from a SOME to a DONE.

    Raises:
        CallerCloses: a CLOSE has come.
    """
    sending.send(body)
    active = time.monotonic()  # when something came or went
    while sending.num_out:
        look()
        # a look costs little, but there are many of them where envs take long
        turn = (time.monotonic() - active) / 8
        if sending.wait(min(max(turn, _SHORTEST), _LONGEST)):
            flags, parts, since = sending.take()
            active = now = time.monotonic()
            latency.add(now - since)
            link.send(frames.DONE, parts, flags=flags, deadline=now + _SEND_SECONDS)
        while sending.num_out and (frame := inbox.poll()) is not None:
            active = time.monotonic()
            if frame.head.kind == frames.CLOSE:
                raise CallerCloses(frame)
            if frame.head.kind == frames.SOME:
                sending.send(frame.body)
            elif frame.head.kind == frames.TEMPLATES:
                sending.add_templates(frame.body)
            else:
                raise WireError("a request came for all envs while some were not done")


class Sending:
    """Sends envs of a session for steps and resets, and gathers those that are done.

    Only while no batch of the session is under way.
    """

    def __init__(self, session: Session, mirror: Mirror, actions: ActionRows) -> None:
        """Begins with no env out. `mirror`, `actions`: of the session's envs."""
        self._session = session
        self._pool = session.pool
        self._flow = session.pool.flow()
        self._mirror, self._actions = mirror, actions
        self._sent = np.zeros(session.num_envs)  # time.monotonic() when

    @property
    def num_out(self) -> int:
        """How many envs were sent and are not taken."""
        return self._flow.num_out

    def send(self, body: bytes) -> None:
        """Does what a SOME asks for.

        Raises:
            WireError: it is malformed, or an env is out; nothing was sent.
            WorkerDied: a worker ended.
        """
        code = int.from_bytes(body[:4], "little")
        env_ids, data = unpack_ids(memoryview(body)[4:], self._session.num_envs)
        out = self._flow.among_out(env_ids)
        if out:
            raise WireError(f"env {out[0]} was sent before, and is not done")
        if code == codes.RESET:
            self._take_arguments(env_ids, data)
        elif code == codes.MESSAGE:
            given = self._given(env_ids, data)
            if len(given) != len(env_ids):
                raise WireError("some envs have no action")
            self._pool.tell(messages.some_actions(self._pool.spans, list(given), [*given.values()]))
        elif code == codes.SLAB:
            self._actions.put_some(env_ids, data)
        else:
            raise WireError(f"{code} is not a way in which actions of some envs travel")
        if code != codes.RESET:
            self._session.steps += len(env_ids)
        self._sent[env_ids] = time.monotonic()
        self._flow.send(env_ids, 0, code, False)

    def _take_arguments(self, env_ids: NDArray[np.int32], data: memoryview) -> None:
        """Seeds and options of a reset."""
        if not data:
            return
        given = self._given(env_ids, data)
        for each in given.values():
            match codec.matchable(each):
                case (None | int(), options) if not names_an_env(options):
                    continue
            raise WireError("a reset of some envs has a seed and options, which name no env")
        self._pool.tell(messages.reset_arguments(self._pool.spans, given))

    def _given(self, env_ids: NDArray[np.int32], data: memoryview) -> Mapping[int, Any]:
        """Values of some of the envs that are sent."""
        given = codec.loads(bytes(data))
        sent = set(env_ids.tolist())
        if not isinstance(given, dict) or not all(type(e) is int and e in sent for e in given):
            raise WireError("expected a dict with values of the envs that are sent")
        return given

    def add_templates(self, body: bytes) -> None:
        """New templates of the caller."""
        self._session.add_templates(codec.loads(body))

    def wait(self, seconds: float) -> bool:
        """Waits until an env is done; False when time was up.

        Raises:
            WorkerDied: a worker ended.
            WorkerTimeout: workers took longer than they may.
        """
        return self._flow.wait(1, time.monotonic() + seconds)

    def take(self) -> tuple[int, list[Any], float]:
        """Flags and body of a DONE with all envs that are done, and the time of the first SOME."""
        env_ids = np.sort(self._flow.take(self._flow.ready()))
        failed = self._flow.failed(env_ids)
        reply = self._flow.collect(env_ids.tolist())
        self._mirror.clear(failed)  # what they had before
        flags, body = self._session.pack(reply, which_of(env_ids))
        return flags, [pack_ids(env_ids), *body], float(self._sent[env_ids].min())

    def settle(self, still_there: Callable[[], None]) -> None:
        """Waits for envs that nobody waits for any longer, and drops what they gave."""
        while count := self._flow.num_out:
            if self._flow.wait(count, time.monotonic() + _SLICE):
                env_ids = self._flow.take(count)
                self._flow.failed(env_ids)
                self._flow.collect(env_ids.tolist())
            still_there()
