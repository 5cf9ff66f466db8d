# SPDX-License-Identifier: MIT
"""Frames on a stream socket: what our wire is made of. docs/wire.md describes every byte.

A frame is a head of 24 bytes and a body. Bodies of batches are read straight into arrays and sent
straight out of them, with one system call for each where the kernel has it all.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from envring.errors import WireError

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

# flags of a RESULT: which sections its body has, in this order
ARRAYS, COLUMNS, FINALS, REPLY = 1, 2, 4, 8
AT_ONCE = 1  # flag of a CLOSE: nobody waits for the envs to close

MAX_HANDSHAKE = 1 << 16  # bytes of a frame before the peer has shown its key
MAX_FRAME = 1 << 30

_GREETING = struct.Struct("<4sHH")
_MAGIC = b"ENVR"
_HEAD = struct.Struct("<QBBHIQ")  # length of the body, kind, flags, 0, 0, number
_BUFFER = 1 << 16
_MOST_VECTORS = 512  # buffers of one system call; Linux takes 1024

Views = Sequence[Any]  # of memoryviews of bytes


def common_version(lowest: int, highest: int) -> int | None:
    """The version of the wire to speak with a peer that speaks these, None if there is none."""
    found = min(highest, VERSION)
    return found if found >= max(lowest, LOWEST) else None


class LinkClosed(ConnectionError):
    """The peer's process ended, or it closed the connection, or the network did."""


class Head(NamedTuple):
    """The head of a frame.

    Attributes:
        kind: HELLO, WELCOME, ...
        flags: by kind.
        number: of the batch that it belongs to.
        length: bytes of the body.
    """

    kind: int
    flags: int
    number: int
    length: int


class Frame(NamedTuple):
    """A frame that was received.

    Attributes:
        head: its head.
        body: what of its body was not read into arrays.
    """

    head: Head
    body: bytes


def _no_place(head: Head) -> Views:
    return ()


class Link:
    """A connection that carries frames. One thread reads it; several may send.

    Attributes:
        heard: time.monotonic() when the last bytes came.
        max_frame: bytes of a body that are accepted.

    Args:
        sock: a connected stream socket, or one of ssl's after its handshake; taken over.
        peer: who is at the other end, for messages.
    """

    def __init__(self, sock: socket.socket, peer: str) -> None:
        """Takes the socket over."""
        sock.setblocking(False)
        self.peer = peer
        self.max_frame = MAX_HANDSHAKE
        self.heard = time.monotonic()
        self._sock = sock
        # OpenSSL's state is one for both directions
        self._tls = threading.Lock() if isinstance(sock, ssl.SSLSocket) else None
        self._sending = threading.Lock()
        self._poll = select.poll()
        self._fd = sock.fileno()
        self._poll.register(self._fd, select.POLLIN)
        self._buffer = bytearray(_BUFFER)
        self._window = memoryview(self._buffer)
        self._at = self._end = 0  # bytes of the buffer that were received and not yet used
        self._head: Head | None = None
        self._missing: list[memoryview] = []  # parts of the body that have not come
        self._body = bytearray()
        self.closed = False

    @property
    def is_plain(self) -> bool:
        """Whether what is sent is what travels: not so with TLS."""
        return self._tls is None

    @property
    def is_between_frames(self) -> bool:
        """Whether nothing of a frame was received and not yet handed out."""
        return self._head is None and self._at == self._end

    def unread(self, data: bytes) -> None:
        """Takes bytes back that somebody else has read from the socket, between two frames."""
        assert self.is_between_frames
        if len(data) > len(self._buffer):
            self._buffer = bytearray(len(data))
            self._window = memoryview(self._buffer)
        self._window[: len(data)] = data
        self._at, self._end = 0, len(data)
        self.heard = time.monotonic()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._fd

    # -- sending ----------------------------------------------------------------------------

    def send(
        self,
        kind: int,
        body: Views = (),
        *,
        flags: int = 0,
        number: int = 0,
        deadline: float | None = None,
    ) -> None:
        """Sends a frame whose body is these buffers, one after the other.

        Raises:
            LinkClosed: the peer is gone, or took none of it until the deadline.
            WireError: it is longer than a frame may be; nothing was sent.
        """
        length = sum(len(part) for part in body)
        if length > MAX_FRAME:
            raise WireError(f"{length} bytes are more than the {MAX_FRAME} of a frame")
        head = _HEAD.pack(length, kind, flags, 0, 0, number)
        with self._sending:
            self._send_all([memoryview(head), *(memoryview(part) for part in body)], deadline)

    def send_if_free(self, kind: int, number: int) -> bool:
        """Sends a frame without a body if nothing else is being sent; whether it was."""
        if not self._sending.acquire(blocking=False):
            return False
        try:
            self._send_all([memoryview(_HEAD.pack(0, kind, 0, 0, 0, number))], time.monotonic())
        finally:
            self._sending.release()
        return True

    def _send_all(self, views: list[memoryview], deadline: float | None) -> None:
        views = [view for view in views if view.nbytes]
        while views:
            try:
                sent = self._send_some(views)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._wait(select.POLLOUT, deadline)
                continue
            except (OSError, ValueError) as error:
                raise LinkClosed(_reason(error)) from error
            while views and sent >= views[0].nbytes:
                sent -= views.pop(0).nbytes
            if sent:
                views[0] = views[0][sent:]

    def _send_some(self, views: list[memoryview]) -> int:
        if self._tls is None:
            return self._sock.sendmsg(views[:_MOST_VECTORS])
        # a record of TLS has 16 KiB: small parts are joined
        part = b"".join(views) if sum(v.nbytes for v in views) <= _BUFFER else views[0]
        with self._tls:
            return self._sock.send(part)

    def _wait(self, event: int, deadline: float | None) -> None:
        poll = self._poll
        if event != select.POLLIN:
            poll = select.poll()
            poll.register(self._fd, event)
        if deadline is None:
            poll.poll()
            return
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            if event == select.POLLIN:
                raise TimeoutError
            raise LinkClosed("it does not read what it is sent")

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
        missing = self._missing
        while missing:
            if self._at < self._end:
                self._take(missing)
            elif missing[0].nbytes >= _BUFFER or len(missing) > 1:
                self._read_into(missing, deadline)
            else:
                self._fill(deadline)
        head, body = self._head, bytes(self._body)
        assert head is not None
        self._head, self._body = None, bytearray()
        return Frame(head, body)

    def _begin(self, place: Callable[[Head], Views]) -> None:
        length, kind, flags, zero, other, number = _HEAD.unpack_from(self._buffer, self._at)
        if zero or other or not HELLO <= kind <= CLOSED:
            raise WireError(f"{self.peer} sent bytes that are not a frame")
        if length > self.max_frame:
            raise WireError(
                f"{self.peer} announced a frame of {length} bytes; {self.max_frame} are allowed"
            )
        head = Head(kind, flags, number, length)
        views = [memoryview(view) for view in place(head)]
        rest = length - sum(view.nbytes for view in views)
        if rest < 0:
            raise WireError(f"{self.peer} sent a batch that is too short: {length} bytes")
        self._at += _HEAD.size
        self._head, self._body = head, bytearray(rest)
        self._missing = [view for view in (*views, memoryview(self._body)) if view.nbytes]

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

        def read() -> int:
            if self._tls is not None:
                return self._sock.recv_into(missing[0])
            return self._sock.recvmsg_into(missing[:_MOST_VECTORS])[0]

        count = self._read(read, deadline)
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
        window = self._window[self._end :]
        self._end += self._read(lambda: self._sock.recv_into(window), deadline)

    def _read(self, read: Callable[[], int], deadline: float | None) -> int:
        while True:
            try:
                if self._tls is None:
                    count = read()
                else:
                    with self._tls:
                        count = read()
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN, deadline)
                continue
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, deadline)
                continue
            except (OSError, ValueError) as error:
                raise LinkClosed(_reason(error)) from error
            if not count:
                raise LinkClosed("it closed the connection")
            self.heard = time.monotonic()
            return count

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
            raise WireError(f"{self.peer} does not speak envring's wire")
        self._at += _GREETING.size
        return lowest, highest

    def send_greeting(self, deadline: float, versions: tuple[int, int] = (LOWEST, VERSION)) -> None:
        """Sends the versions of the wire that are spoken here."""
        with self._sending:
            self._send_all([memoryview(_GREETING.pack(_MAGIC, *versions))], deadline)

    def has_more(self) -> bool:
        """Whether bytes have come that nobody has read."""
        if not self.is_between_frames:
            return True
        if isinstance(self._sock, ssl.SSLSocket):
            return self._sock.pending() > 0
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def has_hung_up(self) -> bool:
        """Whether the peer is known to be gone."""
        poll = select.poll()
        poll.register(self._fd, select.POLLRDHUP)
        return self.closed or bool(poll.poll(0))

    def shut_down(self) -> None:
        """Ends the connection, from any thread: who reads it gets LinkClosed."""
        with contextlib.suppress(OSError):  # it is not connected any longer
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the socket."""
        self.closed = True
        self._sock.close()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
