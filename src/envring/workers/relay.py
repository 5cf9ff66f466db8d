# SPDX-License-Identifier: MIT
"""Serves the rings for a worker that cannot.

Where libenvring does not load (another architecture, no ctypes) a worker still maps the segment
and writes its results there, but commands and completions travel by its channel. This process
reads its command ring and publishes its batches, so that it looks like any other worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from envring.core import _core
from envring.errors import CodecError
from envring.transport.channel import ChannelClosed
from envring.transport.codec import as_bytes
from envring.transport.polling import readable
from envring.transport.segment import MappedSegment
from envring.workers.handle import WorkerHandle, damaged


def take_ready(
    relays: Iterable[Relay],
    seconds: float,
    look: Callable[[], None],
    look_for_deaths: Callable[[], None],
) -> bool:
    """Takes what workers have answered by their channels; whether there was anything."""
    waiting = [relay for relay in relays if relay.busy]
    channels = [relay.worker.channel.sock.fileno() for relay in waiting]
    ready = readable(channels, seconds)
    for relay, channel in zip(waiting, channels, strict=True):
        if channel in ready:
            try:
                relay.take(max(seconds, 0.0), look)
            except ChannelClosed:
                relay.worker.wait_until_dead(1.0)
                look_for_deaths()
                raise
    return bool(ready)


class Relay:
    """One worker's end of the rings, kept by the caller.

    Attributes:
        worker: the worker.
        reply: bytes it sent with the answer to its last batch, or None.
    """

    def __init__(self, index: int, worker: WorkerHandle, segment: MappedSegment) -> None:
        """Opens that worker's rings."""
        self.worker = worker
        self.reply: bytes | None = None
        self._due: deque[tuple[int, int]] = deque()  # (sequence, env's index or -1) of its answers
        self._replies: list[tuple[int, bytes]] = []
        self._port = _core.WorkerPort(
            segment.core, index, worker.env_ids[0], len(worker.env_ids), 0.0, False, 1
        )

    def forward(self, on_slice: Callable[[], None]) -> None:
        """Sends on what was posted to its command ring.

        Raises:
            ChannelClosed: the worker is gone.
            EnvringError: the ring is damaged.
        """
        while (command := self._next()) is not None:
            _, seq, _, _ = command
            first, count = self._port.take_span()
            self._due += [(seq, i) for i in range(first, first + count)]
            if seq and not count:
                self._due.append((seq, -1))
            self.worker.channel.send(("command", *command, first, count), on_slice)

    @property
    def busy(self) -> bool:
        """Whether it owes an answer."""
        return bool(self._due)

    def _next(self) -> tuple[int, int, int, int] | None:
        try:
            return self._port.next(0.0)
        except OSError as error:
            raise damaged(self.worker, "the positions of its ring are impossible") from error

    def take(self, timeout: float, on_slice: Callable[[], None]) -> None:
        """Reads an answer that has begun to come, and publishes the batch.

        What has come within `timeout` seconds is kept for the next call.

        Results were stored before the answer was sent: system calls on both sides order them.

        Raises:
            ChannelClosed: the worker is gone.
            CodecError: it answered something else.
        """
        try:
            message = self.worker.channel.receive(timeout, on_slice)
        except TimeoutError:
            return
        if not (
            isinstance(message, tuple)
            and len(message) == 4
            and message[:2] == ("done", self._due[0][0])
            and isinstance(reply := as_bytes(message[2]), bytes | None)
            and type(message[3]) is int
        ):
            raise CodecError(f"a worker answered {message!r:.200}")
        _, seq, _, hints = message
        _, i = self._due.popleft()
        if i >= 0:
            if reply is not None:
                self._replies.append((self.worker.env_ids[i], reply))
            self._port.finish_env(seq, i)
            return
        self.reply = reply
        self._port.hint(hints & _core.HINT_MOSTLY_WAITING)
        self._port.finish(seq)

    def take_replies(self) -> list[tuple[int, bytes]]:
        """(env id, reply) of envs that answered by themselves, once."""
        replies, self._replies = self._replies, []
        return replies

    def take_reply(self) -> bytes | None:
        """The reply, once."""
        reply, self.reply = self.reply, None
        return reply
