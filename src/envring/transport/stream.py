# SPDX-License-Identifier: MIT
"""Bytes to and from a stream socket, with TLS or without."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from envring.transport.forked import own

if TYPE_CHECKING:
    import ssl

_MOST_VECTORS = 512  # buffers of one system call; Linux takes 1024
_JOINED = 1 << 16  # bytes of small parts that become one record of TLS
_PAUSE = 0.005  # seconds between two looks at what comes while the peer takes nothing
_PIECE = 1 << 18  # bytes given to OpenSSL at once: it tells of progress only when all are sent


class LinkClosed(ConnectionError):
    """The peer's process ended, or it closed the connection, or the network did.

    Attributes:
        refusal: what TLS said of it, or None.
    """

    refusal: ssl.SSLError | None = None


def is_near(sock: socket.socket) -> bool:
    """Whether a socket's peer is on this machine and reached by TCP."""
    if sock.family == socket.AF_UNIX:
        return False
    try:
        ours, theirs = sock.getsockname(), sock.getpeername()
    except OSError:  # it is no longer connected
        return False
    return bool(ours[0] == theirs[0])


class Stream:
    """A connected socket whose methods do not block. One thread reads it, one at a time writes.

    Attributes:
        heard: time.monotonic() when the last bytes came.
        closed: whether `close` was called.

    Args:
        sock: a stream socket, or one of ssl's after its handshake; taken over.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Takes the socket over."""
        sock.setblocking(False)
        self.heard = time.monotonic()
        self.closed = False
        self._sock = sock
        own(sock)  # who is cut off has to see that, whatever was forked meanwhile
        # OpenSSL's state is one for both directions
        self._tls = None if type(sock) is socket.socket else threading.Lock()
        self._fd = sock.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    @property
    def is_plain(self) -> bool:
        """Whether what is sent is what travels: not so with TLS."""
        return self._tls is None

    @property
    def is_near(self) -> bool:
        """Whether the peer is on this machine and reached by TCP."""
        return is_near(self._sock)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._fd

    def sleep_in_receives(self, seconds: float) -> int:
        """Has receives of the descriptor wait by themselves, so long; the same in nanoseconds."""
        os.set_blocking(self._fd, True)  # what is sent and received here says that it must not
        whole, part = divmod(round(seconds * 1e6), 1_000_000)
        timeval = struct.pack("@ll", whole, part)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        return round(seconds * 1e9)

    # -- sending ----------------------------------------------------------------------------

    def send_all(
        self,
        views: list[memoryview],
        deadline: float | None,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Sends buffers, none of them empty, one after the other.

        Args:
            views: the buffers, which must not change meanwhile; they are removed from the list.
            deadline: time.monotonic() at which to give up if the peer took nothing; the time that
                was left begins anew whenever it took something.
            meanwhile: is called now and then while the peer takes nothing.

        Raises:
            LinkClosed: the peer is gone, or reads nothing.
        """
        patience = None if deadline is None else deadline - time.monotonic()
        left = sum(view.nbytes for view in views)
        while not self.send_now(views):
            before, left = left, sum(view.nbytes for view in views)
            if patience is not None and left < before:
                deadline = time.monotonic() + patience
            until = deadline
            if meanwhile is not None:
                meanwhile()
                soon = time.monotonic() + _PAUSE
                until = soon if deadline is None else min(soon, deadline)
            if self._wait(select.POLLOUT, until):
                continue
            if meanwhile is None or (deadline is not None and time.monotonic() >= deadline):
                raise LinkClosed("it does not read what it is sent")

    def send_now(self, views: list[memoryview]) -> bool:
        """Sends, and removes, what the peer takes at once; whether that is all.

        Raises:
            LinkClosed: the peer is gone.
        """
        while views:
            try:
                sent = self._send_some(views)
            except BlockingIOError:
                return False
            except (OSError, ValueError) as error:
                if self._event_for(error):
                    return False
                raise self._closed_by_send(error) from None
            while views and sent >= views[0].nbytes:
                sent -= views.pop(0).nbytes
            if sent:
                views[0] = views[0][sent:]
        return True

    def _send_some(self, views: list[memoryview]) -> int:
        if self._tls is None:
            return self._sock.sendmsg(views[:_MOST_VECTORS], (), socket.MSG_DONTWAIT)
        # after SSLWantWriteError OpenSSL has taken the bytes, and wants the same ones again: from
        # the same views the same piece is made
        small = views[0].nbytes < _JOINED and sum(v.nbytes for v in views) <= _JOINED
        piece = b"".join(views) if small else views[0][:_PIECE]
        with self._tls:
            return self._sock.send(piece)

    def _closed_by_send(self, error: Exception) -> LinkClosed:
        """What to raise for an error of a send: the peer may have said why it went away."""
        closed = self._closed_by(error)
        if self._tls is None or closed.refusal is not None:
            return closed
        try:
            with self._tls:
                self._sock.recv_into(bytearray(1))
        except (OSError, ValueError) as told:
            if self._closed_by(told).refusal is not None:
                return self._closed_by(told)
        return closed

    def _closed_by(self, error: Exception) -> LinkClosed:
        closed = LinkClosed(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        if self._tls is not None:
            from envring.transport import tls

            closed.refusal = tls.refusal_in(error)
        return closed

    def _event_for(self, error: Exception) -> int:
        """What TLS waits for, or 0 if the error is one."""
        if self._tls is None:
            return 0
        from envring.transport import tls

        return tls.event_for(error)

    # -- receiving --------------------------------------------------------------------------

    def read_into(self, views: list[memoryview], deadline: float | None) -> int:
        """Reads what there is, one byte at least, into buffers one after the other.

        Raises:
            LinkClosed: the peer is gone.
            TimeoutError: nothing came in time.
        """
        while True:
            event = select.POLLIN
            try:
                count = self._read(views)
            except BlockingIOError:
                pass
            except (OSError, ValueError) as error:
                event = self._event_for(error)
                if not event:
                    raise self._closed_by(error) from error
            else:
                if not count:
                    raise LinkClosed("it closed the connection")
                self.heard = time.monotonic()
                return count
            if not self._wait(event, deadline):
                raise TimeoutError

    def can_read(self) -> bool:
        """Whether bytes have come that nobody has read; with TLS, of a record that was begun."""
        try:
            if self._tls is not None:
                sealed: Any = self._sock
                return bool(sealed.pending())
            return bool(self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def _read(self, views: list[memoryview]) -> int:
        if self._tls is not None:
            with self._tls:
                return self._sock.recv_into(views[0])
        if len(views) == 1:
            return self._sock.recv_into(views[0], 0, socket.MSG_DONTWAIT)
        return self._sock.recvmsg_into(views[:_MOST_VECTORS], 0, socket.MSG_DONTWAIT)[0]

    def _wait(self, event: int, deadline: float | None) -> bool:
        """Waits until something can be read or written; False if time was up."""
        poll = self._poll
        if event != select.POLLIN:
            poll = select.poll()
            poll.register(self._fd, event)
        if deadline is None:
            return bool(poll.poll())
        left = deadline - time.monotonic()
        return left > 0 and bool(poll.poll(left * 1000))

    # -- the end ----------------------------------------------------------------------------

    def has_hung_up(self) -> bool:
        """Whether the peer is known to be gone."""
        poll = select.poll()
        poll.register(self._fd, select.POLLRDHUP)
        return self.closed or bool(poll.poll(0))

    def shut_down(self) -> None:
        """Ends the connection, from any thread: who reads it gets LinkClosed."""
        with contextlib.suppress(OSError):  # it is not connected any longer
            # not SSLSocket.shutdown: who reads would take what is there still for plain bytes
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the socket."""
        self.closed = True
        self._sock.close()
