# SPDX-License-Identifier: MIT
"""Serves the rings for a worker that cannot.

Where libenvring does not load (another architecture, no ctypes) a worker still maps the segment
and writes its results there, but commands and completions travel by its channel. This process
reads its command ring and publishes its batches, so that it looks like any other worker.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from envring._foreign.envring_worker.retiring import HINT_LEAVES_SOON
from envring.core import _core
from envring.errors import CodecError
from envring.transport.channel import ChannelClosed
from envring.transport.codec import as_bytes, has_name
from envring.transport.polling import readable
from envring.transport.segment import MappedSegment
from envring.workers.handle import WorkerHandle, damaged


def take_ready(
    relays: Iterable[Relay],
    seconds: float,
    look: Callable[[], None],
    lost: Callable[[WorkerHandle], None],
) -> bool:
    """Takes what workers have answered by their channels; whether there was anything.

    `lost` is called for one whose channel is closed.
    """
    waiting = [relay for relay in relays if relay.busy]
    channels = [relay.worker.channel.sock.fileno() for relay in waiting]
    ready = readable(channels, seconds)
    for relay, channel in zip(waiting, channels, strict=True):
        if channel in ready:
            try:
                relay.take(max(seconds, 0.0), look)
            except ChannelClosed:
                lost(relay.worker)
    return bool(ready)


class Relay:
    """One worker's end of the rings, kept by the caller.

    Attributes:
        worker: the worker.
        reply: bytes it sent with the answer to its last batch, or None.
        retired: what it said when it left as planned, or None.
    """

    def __init__(self, index: int, worker: WorkerHandle, segment: MappedSegment) -> None:
        """Opens that worker's rings."""
        self.worker = worker
        self.reply: bytes | None = None
        self.retired: Any = None
        self._index, self._core = index, segment.core
        self._missing = False
        self._due: deque[tuple[int, int]] = deque()  # (sequence, env's index or -1) of its answers
        self._replies: list[tuple[int, bytes]] = []
        self._port = self._open()

    def _open(self) -> _core.WorkerPort:
        env_ids = self.worker.env_ids
        return _core.WorkerPort(self._core, self._index, env_ids[0], len(env_ids), 0.0, False, 1)

    # -- restarts ---------------------------------------------------------------------------

    def hear_out(self) -> None:
        """Takes what a worker that has ended had answered before."""
        fd = self.worker.channel.sock.fileno()
        # nonsense, or the beginning of an answer, is lost with it
        with contextlib.suppress(Exception):
            while not self._missing and (self.busy or self.retired is None) and readable([fd], 0):
                self.take(0.0, lambda: None)

    def lose(self, owes: bool) -> None:
        """The worker is dead, and its rings were made ready for another; whether it owes a batch.

        What is posted stays in the ring until there is one.
        """
        self._missing, self.retired = True, None
        self._due.clear()
        if owes:
            self.reply = None
        self._port = self._open()

    def find(
        self, worker: WorkerHandle, messages: list[bytes], on_slice: Callable[[], None]
    ) -> None:
        """There is another worker: sends it what was posted, with the messages that belong to it.

        Raises:
            ChannelClosed: the worker is gone.
            EnvringError: the ring is damaged.
        """
        self.worker, self._missing = worker, False
        self.forward(on_slice, messages)

    # -- commands and answers ---------------------------------------------------------------

    def forward(self, on_slice: Callable[[], None], messages: list[bytes] | None = None) -> None:
        """Sends on what was posted to its command ring; each message right after its command.

        Raises:
            ChannelClosed: the worker is gone.
            EnvringError: the ring is damaged.
        """
        while not self._missing and (command := self._next()) is not None:
            op, seq, _, _ = command
            first, count = self._port.take_span()
            self._due += [(seq, i) for i in range(first, first + count)]
            if seq and not count:
                self._due.append((seq, -1))
            self.worker.channel.send(("command", *command, first, count), on_slice)
            if op == _core.OP_MESSAGE and messages:
                self.worker.channel.send_encoded(messages.pop(0), on_slice)

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
        if has_name(message) and len(message) == 2 and message[0] == "retired":
            self.retired = message[1]
            return
        if not (
            has_name(message)
            and len(message) == 4
            and self._due
            and type(message[1]) is int
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
        self._port.hint(hints & (_core.HINT_MOSTLY_WAITING | HINT_LEAVES_SOON))
        self._port.finish(seq)

    def take_replies(self) -> list[tuple[int, bytes]]:
        """(env id, reply) of envs that answered by themselves, once."""
        replies, self._replies = self._replies, []
        return replies

    def take_reply(self) -> bytes | None:
        """The reply, once."""
        reply, self.reply = self.reply, None
        return reply
