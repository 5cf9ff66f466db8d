# SPDX-License-Identifier: MIT
"""Frames on a stream socket: what our wire is made of. docs/wire.md describes every byte.

A frame is a head of 24 bytes and a body. Bodies of batches are read straight into arrays and sent
straight out of them, with one system call for each where the kernel has it all.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from envring.errors import WireError
from envring.transport.packing import Packing
from envring.transport.stream import LinkClosed, Stream

__all__ = ["Frame", "Head", "Link", "LinkClosed"]

VERSION = 1  # of the wire; what a release can speak is LOWEST to VERSION
LOWEST = 1

HELLO, WELCOME = 1, 2
OPEN, OPENED = 3, 4
ATTACH, ATTACHED = 5, 6
STEP, MESSAGE, RESULT = 7, 8, 9
TEMPLATES = 10
ALIVE = 11
ERROR = 12
CLOSE, CLOSED = 13, 14
SOME, DONE = 15, 16
KINDS = range(HELLO, DONE + 1)

SEND = "send"  # feature of a host that takes SOME
LOST = "lost"  # feature of a host whose envs take the place of others

# flags of a RESULT and of a DONE: which sections its body has, in this order
ARRAYS, COLUMNS, FINALS, REPLY = 1, 2, 4, 8
AT_ONCE = 1  # flag of a CLOSE: nobody waits for the envs to close
PACKED = 128  # flag of any frame: its body is compressed

MAX_HANDSHAKE = 1 << 16  # bytes of a frame before the peer has shown its key
MAX_FRAME = 1 << 30

_GREETING = struct.Struct("<4sHH")
_MAGIC = b"ENVR"
_TLS_BEGINS = (b"\x15\x03", b"\x16\x03")  # an alert, a handshake
_HEAD = struct.Struct("<QBBHIQ")  # length of the body, kind, flags, 0, rate, number
_BUFFER = 1 << 16
_PIECE = 1 << 20  # bytes of a body that memory is taken for before they come
_RATE = 1024  # bytes per second: the unit of a rate

Views = Sequence[Any]  # of memoryviews of bytes


def common_version(lowest: int, highest: int) -> int | None:
    """The version of the wire to speak with a peer that speaks these, None if there is none."""
    found = min(highest, VERSION)
    return found if found >= max(lowest, LOWEST) else None


class Head(NamedTuple):
    """The head of a frame."""

    kind: int  # HELLO, WELCOME, ...
    flags: int  # by kind
    number: int  # of the batch that it belongs to
    length: int  # bytes of the body


class Frame(NamedTuple):
    """A frame that was received."""

    head: Head
    body: bytes  # what of it was not read into arrays


def _no_place(head: Head) -> Views:
    return ()


class Link(Stream):
    """A connection that carries frames. One thread reads it; several may send.

    Attributes:
        max_frame: bytes of a body that are accepted.
        packing: what becomes of long bodies, if both ends can pack them.

    Args:
        sock: a connected stream socket, or one of ssl's after its handshake; taken over.
        peer: who is at the other end, for messages.
    """

    def __init__(self, sock: socket.socket, peer: str) -> None:
        """Takes the socket over."""
        super().__init__(sock)
        self.peer = peer
        self.max_frame = MAX_HANDSHAKE
        self.packing: Packing | None = None
        self._sending = threading.Lock()
        self._buffer = bytearray(_BUFFER)
        self._window = memoryview(self._buffer)
        self._at = self._end = 0  # bytes of the buffer that were received and not yet used
        self._head: Head | None = None
        self._missing: list[memoryview] = []  # parts of the body that have not come
        self._body: list[bytearray] = []
        self._rest = 0  # bytes of the body that no memory was taken for yet
        self._late, self._waited = 0, 0.0  # bytes that came after the head, seconds spent on them
        self._unsent: list[memoryview] = []  # of a frame that comes before every other one
        self._torn = False  # whether a frame was begun that nobody will end

    @property
    def is_between_frames(self) -> bool:
        """Whether nothing of a frame is left that was received or is to be sent."""
        received = self._head is None and self._at == self._end
        return received and not self._unsent and not self._torn

    @property
    def is_slow(self) -> bool:
        """Whether long bodies may have to be packed."""
        return self.packing is not None and self.packing.is_slow

    def is_of_interest(self, length: int) -> bool:
        """Whether the next bodies of that length are to be measured."""
        return self.packing is not None and self.packing.is_of_interest(length)

    def unread(self, data: bytes) -> None:
        """Takes bytes back that somebody else has read from the socket, between two frames."""
        assert self._head is None
        assert self._at == self._end
        if len(data) > len(self._buffer):
            self._buffer = bytearray(len(data))
            self._window = memoryview(self._buffer)
        self._window[: len(data)] = data
        self._at, self._end = 0, len(data)
        self.heard = time.monotonic()

    # -- sending ----------------------------------------------------------------------------

    def send(
        self,
        kind: int,
        body: Views = (),
        *,
        flags: int = 0,
        number: int = 0,
        deadline: float | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Sends a frame whose body is these buffers, one after the other.

        Args:
            kind: of the frame.
            body: the buffers, which must not change meanwhile.
            flags: by kind.
            number: of the batch.
            deadline: time.monotonic() at which to give up if the peer took nothing; the time that
                was left begins anew whenever it took something.
            meanwhile: is called while the peer takes nothing: it may wait until it is read.

        Raises:
            LinkClosed: the peer is gone, or reads nothing.
            WireError: it is longer than a frame may be; nothing was sent.
        """
        length = sum(len(part) for part in body)
        if length > MAX_FRAME:
            raise WireError(f"{length} bytes are more than the {MAX_FRAME} of a frame")
        with self._sending:
            packed = None if self.packing is None else self.packing.pack(body, length)
            if packed is not None:
                body, length, flags = [packed], len(packed), flags | PACKED
            head = self._head_of(length, kind, flags, number)
            views = [memoryview(head), *(memoryview(part) for part in body)]
            self._send_views(views, deadline, meanwhile)

    def _head_of(self, length: int, kind: int, flags: int, number: int) -> bytes:
        rate = 0 if self.packing is None else self.packing.rate // _RATE
        return _HEAD.pack(length, kind, flags, 0, rate, number)

    def send_if_free(self, kind: int, number: int) -> bool:
        """Sends a frame without a body, without waiting, unless another one is being sent.

        Returns:
            Whether the peer got all of it. What it did not take goes before the next frame.

        Raises:
            LinkClosed: the peer is gone.
        """
        if not self._sending.acquire(blocking=False):
            return False
        try:
            if not self._unsent:
                self._unsent = [memoryview(self._head_of(0, kind, 0, number))]
            return self.send_now(self._unsent)
        finally:
            self._sending.release()

    def _send_views(
        self,
        views: list[memoryview],
        deadline: float | None,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        if self._torn:
            raise LinkClosed("what was sent before was not sent to its end")
        views = [*self._unsent, *(view for view in views if view.nbytes)]
        self._unsent = []
        self._torn = True  # until all is sent, whatever interrupts this
        self.send_all(views, deadline, meanwhile)
        self._torn = False

    # -- receiving --------------------------------------------------------------------------

    def receive(
        self, deadline: float | None = None, place: Callable[[Head], Views] = _no_place
    ) -> Frame:
        """The next frame. After a timeout the next call goes on where this one ended.

        Args:
            deadline: time.monotonic() at which to give up, or None.
            place: returns the buffers for the beginning of a body; the rest of it is in the frame.

        Raises:
            LinkClosed: the peer is gone.
            TimeoutError: not all of it came in time.
            WireError: these are not the bytes of a frame.
        """
        while self._head is None:
            if self._end - self._at >= _HEAD.size:
                self._begin(place)
                break
            self._fill(deadline)
        began = time.monotonic()
        try:
            self._receive_body(deadline)
        finally:
            self._waited += time.monotonic() - began
        if self.packing is not None:
            self.packing.came(self._late, self._waited)
        head, body = self._head, b"".join(self._body)
        assert head is not None
        self._head, self._body = None, []
        return self._unpacked(head, body, place) if head.flags & PACKED else Frame(head, body)

    def _receive_body(self, deadline: float | None) -> None:
        missing = self._missing
        while missing or self._rest:
            if not missing:
                self._take_memory()
            if self._at < self._end:
                self._take(missing)
            elif missing[0].nbytes >= _BUFFER or len(missing) > 1:
                self._read_into(missing, deadline)
            else:
                self._fill(deadline)

    def _unpacked(self, head: Head, packed: bytes, place: Callable[[Head], Views]) -> Frame:
        assert self.packing is not None
        body = memoryview(self.packing.unpack(packed, self.max_frame))
        head = Head(head.kind, head.flags & ~PACKED, head.number, len(body))
        for view in self._views(head, place):
            view[:], body = body[: view.nbytes], body[view.nbytes :]
        return Frame(head, bytes(body))

    def _begin(self, place: Callable[[Head], Views]) -> None:
        length, kind, flags, zero, rate, number = _HEAD.unpack_from(self._buffer, self._at)
        is_packed = bool(flags & PACKED)
        strange = zero or (self.packing is None and (rate or is_packed))
        if strange or kind not in KINDS:
            raise WireError(f"{self.peer} sent bytes that are not a frame")
        if length > self.max_frame:
            raise WireError(
                f"{self.peer} announced a frame of {length} bytes; {self.max_frame} are allowed"
            )
        if self.packing is not None:
            self.packing.peer_rate = rate * _RATE
        head = Head(kind, flags, number, length)
        views = [] if is_packed else self._views(head, place)
        self._at += _HEAD.size
        self._head, self._body = head, []
        self._rest = length - sum(view.nbytes for view in views)
        self._missing = [view for view in views if view.nbytes]
        self._late, self._waited = length - (self._end - self._at), 0.0
        self._take_memory()

    def _views(self, head: Head, place: Callable[[Head], Views]) -> list[memoryview]:
        """Where the beginning of a body goes, which is no longer than the body."""
        views = [memoryview(view) for view in place(head)]
        if sum(view.nbytes for view in views) > head.length:
            raise WireError(f"{self.peer} sent a batch that is too short: {head.length} bytes")
        return views

    def _take_memory(self) -> None:
        """Makes room for more of the body: at most as much as has come of it, and a piece."""
        count = min(self._rest, max(_PIECE, sum(map(len, self._body))))
        if count:
            self._rest -= count
            self._body.append(bytearray(count))
            self._missing.append(memoryview(self._body[-1]))

    def _take(self, missing: list[memoryview]) -> None:
        """Moves bytes that are in the buffer to where they belong."""
        view = missing[0]
        count = min(view.nbytes, self._end - self._at)
        view[:count] = self._window[self._at : self._at + count]
        self._at += count
        if count == view.nbytes:
            missing.pop(0)
        else:
            missing[0] = view[count:]

    def _read_into(self, missing: list[memoryview], deadline: float | None) -> None:
        """Reads straight to where it belongs; what belongs to the next frame stays outside."""
        count = self.read_into(missing, deadline)
        while count:
            view = missing[0]
            if count < view.nbytes:
                missing[0] = view[count:]
                return
            count -= view.nbytes
            missing.pop(0)

    def _fill(self, deadline: float | None) -> None:
        """Reads what there is into the buffer."""
        if self._at == self._end:
            self._at = self._end = 0
        elif self._at:
            self._window[: self._end - self._at] = bytes(self._window[self._at : self._end])
            self._at, self._end = 0, self._end - self._at
        self._end += self.read_into([self._window[self._end :]], deadline)

    def receive_greeting(self, deadline: float) -> tuple[int, int]:
        """(lowest, highest) version of the wire that the peer speaks: the first bytes of all.

        Raises:
            LinkClosed: the peer is gone.
            TimeoutError: they did not come in time.
            WireError: the peer speaks something else.
        """
        while self._end - self._at < _GREETING.size:
            self._fill(deadline)
            if not _MAGIC.startswith(self._buffer[: min(4, self._end)]):
                break
        magic, lowest, highest = _GREETING.unpack_from(self._buffer, self._at)
        if magic != _MAGIC:
            speaks_tls = self._buffer[:2] in _TLS_BEGINS
            hint = ": it speaks TLS, tls://, to a port that does not, or the reverse"
            raise WireError(f"{self.peer} does not speak envring's wire{hint * speaks_tls}")
        self._at += _GREETING.size
        return lowest, highest

    def send_greeting(self, deadline: float, versions: tuple[int, int] = (LOWEST, VERSION)) -> None:
        """Sends the versions of the wire that are spoken here."""
        with self._sending:
            self._send_views([memoryview(_GREETING.pack(_MAGIC, *versions))], deadline)

    def has_more(self) -> bool:
        """Whether bytes have come that nobody has handed out."""
        return self._head is not None or self._at < self._end or self.can_read()

    def explain(self, why: str) -> str:
        """Why the connection ended, as far as it is known. `why`: what this end noticed."""
        return why
