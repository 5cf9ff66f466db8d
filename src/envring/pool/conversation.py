# SPDX-License-Identifier: MIT
"""Requests to a host and its answers, in time or with the reason why not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from envring.errors import (
    EnvringError,
    HostLost,
    UnsendableError,
    WireError,
    WorkerTimeout,
    format_env_ids,
)
from envring.pool.dialling import Dialled
from envring.pool.ending import Closing
from envring.pool.remote_closing import read_told, wish
from envring.pool.remote_errors import rebuild
from envring.transport import codec, frames
from envring.transport.frames import Frame, Head, LinkClosed

_MOST_LAST_FRAMES = 16
_LET_GO_SECONDS = 1.0  # for a CLOSE to be sent


class Conversation:
    """What is said over one connection. What it raises is the end of it, but for UnsendableError.

    Attributes:
        link: the connection.
        sent: time.monotonic() of the last request.
        heartbeat: seconds of silence after which the host is given up.
        takes_some: whether the host has envs stepped by themselves.
    """

    def __init__(
        self, dialled: Dialled, env_ids: range, place: Callable[[Head], Sequence[Any]]
    ) -> None:
        """Takes the connection over; `place` says where the rows of a batch go."""
        self.link = dialled.link
        self.heartbeat = dialled.heartbeat
        self.sent = 0.0
        self.takes_some = frames.SEND in dialled.welcome["features"]
        self._most: int = min(dialled.welcome["max_frame"], frames.MAX_FRAME)
        self._host = str(dialled.address)
        self._env_ids = env_ids
        self._place = place

    def send(
        self,
        kind: int,
        body: Sequence[Any],
        number: int = 0,
        meanwhile: Callable[[], Any] | None = None,
    ) -> None:
        """Sends a request. While the host does not take it, `meanwhile` reads what it sends.

        Raises:
            UnsendableError: it is too long; nothing was sent.
            HostLost: the host is gone, or does not read.
        """
        if sum(len(part) for part in body) > self._most:
            raise UnsendableError(
                f"A message to {self._host} is longer than the {self._most} bytes it takes. "
                "Nothing was sent."
            )
        try:
            deadline = time.monotonic() + self.heartbeat
            self.link.send(kind, body, number=number, deadline=deadline, meanwhile=meanwhile)
        except LinkClosed as error:
            raise self._last_words(error) from None
        self.sent = time.monotonic()

    def _last_words(self, error: LinkClosed) -> EnvringError:
        """What the host said before it went away, if it did."""
        try:
            for _ in range(_MOST_LAST_FRAMES):
                if self.receive(time.monotonic()) is None:
                    break
        except EnvringError as told:
            return told
        return self._lost(error)

    def receive(self, deadline: float | None) -> Frame | None:
        """The next frame, or None when time was up.

        Raises:
            HostLost: the host is gone, or silent.
            WireError: what it sent is not a frame.
            EnvringError: what the host reports.
        """
        while True:
            silent = max(self.link.heard, self.sent) + self.heartbeat
            until = silent if deadline is None else min(silent, deadline)
            try:
                frame = self.link.receive(until, self._place)
            except TimeoutError:
                now = time.monotonic()
                if now >= max(self.link.heard, self.sent) + self.heartbeat:
                    why = f"it was silent for {self.heartbeat:g} seconds"
                    raise self._lost(why) from None
                if deadline is not None and now >= deadline:
                    return None
                continue
            except LinkClosed as error:
                raise self._lost(error) from None
            if frame.head.kind != frames.ERROR:
                return frame
            raise rebuild(frame.body, self._env_ids, self._host)

    def answer(self, kind: int, deadline: float | None, seconds: float | None) -> Any:
        """What the host says, by a frame of that kind, to a request that is not a batch.

        Raises:
            WorkerTimeout: the seconds that the deadline stands for are over.
            EnvringError: as `receive`; or the host said something else.
        """
        while True:
            frame = self.receive(deadline)
            if frame is None:
                raise WorkerTimeout(
                    f"{format_env_ids(self._env_ids)} on {self._host} were not ready within "
                    f"{seconds:g} seconds. Raise start_timeout, or see what the constructors of "
                    "these envs wait for.",
                    self._env_ids,
                )
            if frame.head.kind == kind:
                return codec.loads(frame.body)
            if frame.head.kind != frames.ALIVE:
                raise self.unexpected()

    def let_go(self) -> None:
        """Ends the session, without waiting for its envs."""
        with contextlib.suppress(LinkClosed):
            now = time.monotonic()
            self.link.send(frames.CLOSE, flags=frames.AT_ONCE, deadline=now + _LET_GO_SECONDS)

    def ask_to_close(self, seconds: float, terminate: bool) -> None:
        """Ends the session, whose envs have some seconds to close; `closed` waits for it."""
        with contextlib.suppress(LinkClosed):  # then `closed` finds that out, too
            self.sent = time.monotonic()
            body = [wish(seconds, terminate)]
            self.link.send(frames.CLOSE, body, deadline=self.sent + _LET_GO_SECONDS)

    def closed(self, deadline: float) -> Closing | None:
        """What became of the envs; None if the host does not say, or is gone.

        Raises:
            TimeoutError: it said nothing in time.
        """
        while True:
            silent = max(self.link.heard, self.sent) + self.heartbeat
            try:
                frame = self.link.receive(min(deadline, silent))
            except (LinkClosed, WireError):
                return None
            if frame.head.kind == frames.CLOSED:
                return read_told(frame.body, self._env_ids)
            if frame.head.kind == frames.ERROR:
                return None  # there was no session any more
            # frames of a batch under way may come first

    def _lost(self, why: object) -> EnvringError:
        return HostLost(tuple(self._env_ids), self._host, self.link.explain(str(why)))

    def unexpected(self) -> WireError:
        """The error for a frame that was not asked for."""
        return WireError(f"{self._host} sent what was not asked for")
