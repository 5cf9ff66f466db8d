# SPDX-License-Identifier: MIT
"""Control channel: a stream socket for what is rare and of any size.

A message is its length (8 bytes, little endian) and a pickle. Only processes of the same user that
run the same code are at the other end. Waits are cut into slices, between which the caller can
look whether the peer still lives.
"""

from __future__ import annotations

import array
import os
import pickle
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import cloudpickle

from envring.errors import UnsendableError

_HEAD = struct.Struct("<Q")
_SLICE = 0.05


class ChannelClosed(EOFError):
    """The peer is gone."""


def dumps(value: Any, check: bool = False) -> bytes:
    """Pickles for a process of the same code; what pickle refuses, cloudpickle may take.

    Args:
        value: anything.
        check: whether to make sure that the bytes can be read again (an exception whose
            constructor wants more than it was given cannot).
    """
    try:
        data = pickle.dumps(value, protocol=5)
        if check:
            pickle.loads(data)
    except Exception:
        data = cloudpickle.dumps(value, protocol=5)
        if check:
            pickle.loads(data)
    return data


def encode(value: Any) -> bytes:
    """A message as it travels.

    Raises:
        UnsendableError: it cannot be pickled.
    """
    try:
        data = dumps(value)
    except Exception as error:
        raise UnsendableError(
            f"An argument cannot be sent to the workers ({error}); nothing was sent. Give plain "
            "data, or build such things inside of the envs."
        ) from error
    return _HEAD.pack(len(data)) + data


class Channel:
    """One end of a control channel.

    Args:
        sock: connected stream socket; taken over.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Takes the socket over."""
        self.sock = sock
        sock.setblocking(False)

    @staticmethod
    def pair() -> tuple[Channel, socket.socket]:
        """Our end, and the socket for the other."""
        ours, theirs = socket.socketpair()
        return Channel(ours), theirs

    def send(self, value: Any, on_slice: Callable[[], None] | None = None) -> None:
        """Encodes and sends a message; see `send_encoded`."""
        self.send_encoded(encode(value), on_slice)

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
                if not select.select([], [self.sock], [], _SLICE)[1] and on_slice is not None:
                    on_slice()
            except OSError as error:
                raise ChannelClosed(str(error)) from error

    def receive(
        self, timeout: float | None = None, on_slice: Callable[[], None] | None = None
    ) -> Any:
        """The next message.

        Raises:
            ChannelClosed: the peer is gone.
            TimeoutError: nothing came in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        (length,) = _HEAD.unpack(self._receive_all(_HEAD.size, deadline, on_slice))
        return pickle.loads(self._receive_all(length, deadline, on_slice))

    def _receive_all(
        self, count: int, deadline: float | None, on_slice: Callable[[], None] | None
    ) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                piece = self.sock.recv(min(count - len(data), 1 << 20))
            except BlockingIOError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError("no message in time") from None
                if not select.select([self.sock], [], [], _SLICE)[0] and on_slice is not None:
                    on_slice()
                continue
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            if not piece:
                raise ChannelClosed("the peer closed the channel")
            data += piece
        return bytes(data)

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
        if not select.select([self.sock], [], [], timeout)[0]:
            raise TimeoutError("no file descriptor in time")
        data, fds, _, _ = socket.recv_fds(self.sock, 1, 1)
        if not data or not fds:
            raise ChannelClosed("the peer closed the channel")
        os.set_inheritable(fds[0], False)
        return fds[0]

    def close(self) -> None:
        """Closes this end."""
        self.sock.close()
