# SPDX-License-Identifier: MIT
"""Control channel: a stream socket for messages that are rare and of any size.

A message is its length (8 bytes, little endian) and its bytes: a pickle where the same user's
process that runs the same code is at the other end, plain data (see docs/codec.md) where it is
another interpreter. Waits are cut into slices, between which the caller can look whether the peer
is alive.
"""

from __future__ import annotations

import array
import os
import pickle
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from envring.errors import CodecError, HandshakeError, UnsendableError
from envring.transport import codec
from envring.transport.pickling import dumps
from envring.transport.polling import readable, writable

_HEAD = struct.Struct("<Q")
_SLICE = 0.05
_SLACK = 0.5  # seconds
_MOST_NOISE = 1 << 20
MAX_MESSAGE = 1 << 31  # bytes of a message from another interpreter


class ChannelClosed(EOFError):
    """The peer's process ended, or it closed the channel."""


class Wire(NamedTuple):
    """How values become bytes and bytes become values again."""

    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]


PICKLE = Wire(dumps, pickle.loads)
DATA = Wire(codec.dumps, codec.loads)
DATA_OF_PYTHON_2 = Wire(codec.dumps, partial(codec.loads, python2=True))


class Channel:
    """One end of a control channel.

    Args:
        sock: connected stream socket; taken over.
        wire: how messages are written. What comes from another interpreter is never unpickled.
    """

    def __init__(self, sock: socket.socket, wire: Wire = PICKLE) -> None:
        """Takes the socket over."""
        self.sock = sock
        self.wire = wire
        self._length: int | None = None  # of the message that is coming
        self._received = bytearray()  # of it, or of its head
        sock.setblocking(False)

    @staticmethod
    def pair(wire: Wire = PICKLE) -> tuple[Channel, socket.socket]:
        """Our end, and the socket for the other."""
        ours, theirs = socket.socketpair()
        return Channel(ours, wire), theirs

    def encode(self, value: Any) -> bytes:
        """A message as it travels.

        Raises:
            UnsendableError: it cannot be pickled, or is not plain data where it has to be.
        """
        try:
            data = self.wire.dumps(value)
        except Exception as error:
            raise UnsendableError(
                f"An argument cannot be sent to the workers ({error}); nothing was sent. Give "
                "plain data, or build such objects inside the envs."
            ) from error
        return _HEAD.pack(len(data)) + data

    def send(self, value: Any, on_slice: Callable[[], None] | None = None) -> None:
        """Encodes and sends a message; see `send_encoded`."""
        self.send_encoded(self.encode(value), on_slice)

    def send_encoded(self, data: bytes, on_slice: Callable[[], None] | None = None) -> None:
        """Sends an encoded message. on_slice is called now and then while the peer does not read.

        Raises:
            ChannelClosed: the peer is gone.
        """
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                if not writable(self.sock.fileno(), _SLICE) and on_slice is not None:
                    on_slice()
            except OSError as error:
                raise ChannelClosed(str(error)) from error

    def receive(
        self, timeout: float | None = None, on_slice: Callable[[], None] | None = None
    ) -> Any:
        """The next message. After a timeout the next call goes on where this one ended.

        Raises:
            ChannelClosed: the peer is gone.
            TimeoutError: not all of it came in time.
            CodecError: another interpreter announced a message that is too long, or sent bytes that
                are not one.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._length is None:
            (length,) = _HEAD.unpack(self._receive_all(_HEAD.size, deadline, on_slice))
            if length > MAX_MESSAGE and self.wire is not PICKLE:
                raise CodecError(f"a worker announced a message of {length} bytes")
            self._length = length
        data = self._receive_all(self._length, deadline, on_slice)
        self._length = None
        return self.wire.loads(data)

    def _receive_all(
        self, count: int, deadline: float | None, on_slice: Callable[[], None] | None
    ) -> bytes:
        data = self._received
        look = time.monotonic() + _SLICE
        while len(data) < count:
            try:
                piece = self.sock.recv(min(count - len(data), 1 << 20))
            except BlockingIOError:
                piece = None
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            if piece == b"":
                raise ChannelClosed("the peer closed the channel")
            if piece:
                data += piece
            now = time.monotonic()
            # bytes that are here already are read, but not without end
            late = deadline is not None and now >= deadline + (_SLACK if piece else 0.0)
            if late and len(data) < count:
                raise TimeoutError("no message in time")
            waited = piece is None and not readable([self.sock.fileno()], _SLICE)
            if on_slice is not None and (waited or now >= look):
                look = now + _SLICE
                on_slice()
        self._received = bytearray()
        return bytes(data)

    def skip_to(
        self, mark: bytes, timeout: float, on_slice: Callable[[], None] | None = None
    ) -> bytes:
        """Reads on until the mark has come, and returns what came before it.

        Raises:
            ChannelClosed: the peer is gone.
            TimeoutError: no mark came in time.
            HandshakeError: a great deal came, but no mark.
        """
        deadline = time.monotonic() + timeout
        noise = bytearray()
        while not noise.endswith(mark):
            if len(noise) > _MOST_NOISE:
                raise HandshakeError(f"{len(noise)} bytes came before any message")
            # no more than is missing: behind the mark there is a message
            missing = next(
                n for n in range(1, len(mark) + 1) if noise.endswith(mark[: len(mark) - n])
            )
            noise += self._receive_all(missing, deadline, on_slice)
        return bytes(noise[: -len(mark)])

    def send_fd(self, fd: int) -> None:
        """Sends a copy of a file descriptor."""
        self.sock.setblocking(True)
        try:
            rights = array.array("i", [fd])
            self.sock.sendmsg([b"F"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        finally:
            self.sock.setblocking(False)

    def receive_fd(self, timeout: float) -> int:
        """A file descriptor sent by send_fd; it is not inherited by other programs.

        Raises:
            ChannelClosed: the peer is gone.
            TimeoutError: nothing came in time.
        """
        if not readable([self.sock.fileno()], timeout):
            raise TimeoutError("no file descriptor in time")
        data, fds, _, _ = socket.recv_fds(self.sock, 1, 1)
        if not data or not fds:
            raise ChannelClosed("the peer closed the channel")
        os.set_inheritable(fds[0], False)
        return fds[0]

    def close(self) -> None:
        """Closes this end."""
        self.sock.close()
