# SPDX-License-Identifier: MIT
"""Connections in threads of their own: a message costs no turn of the event loop.

Only our own server can do that, and only without TLS: it takes sockets out of the event loop:
WebSockets with the request to upgrade, others with their second request. Elsewhere the same is
done by ASGI.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from envring.core import _core
from envring.gateways.web.closing import Close
from envring.gateways.web.conversations import Conversation
from envring.gateways.web.whole_frames import is_control, is_text, payload, text_frame
from envring.transport.forked import own
from envring.transport.stream import is_near

_TICK = 0.25  # seconds between two looks whether the session has ended
_LONG_SECONDS = 1.0  # of a call, until one looks whether its caller is still there
_PING_SECONDS = 20.0  # of silence, until one asks whether the other end is there; then for that
_SEND_SECONDS = 20.0  # for the other end to take an answer
_CLOSE_SECONDS = 5.0  # for the other end to confirm that the connection is closed
_CHUNK = 1 << 16
_TICK_BYTES = struct.pack("@ll", 0, int(_TICK * 1e6))  # a timeval
_GOING_AWAY, _NOT_TEXT, _SILENT = 1001, 1007, 1011


class Line:
    """A connection and the thread that serves it.

    Args:
        sock: the connection; is taken over.
        ended: is called when all is over, in the thread.
    """

    def __init__(self, sock: socket.socket, ended: Callable[[Line], None]) -> None:
        """Keeps both; `start` begins."""
        self._sock = sock
        own(sock)
        self._ended = ended
        self._busy_since: float | None = None
        # by the kernel's limits a receive is one system call, with Python's it is two
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TICK_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TICK_BYTES)
        with contextlib.suppress(OSError):  # a socket of another kind
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # where it is, a message costs a switch of contexts, and a worker has the other CPU
        self._following = _core.Following(sock.fileno()) if is_near(sock) else None

    def start(self) -> None:
        """Begins to serve."""
        threading.Thread(target=self._run, name="envring-web", daemon=True).start()

    def shut_down(self) -> None:
        """Cuts the connection."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def is_left(self) -> bool:
        """Whether the caller went away while its call takes long."""
        since = self._busy_since
        if since is None or time.monotonic() - since < _LONG_SECONDS:
            return False
        try:
            return not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def abandon(self) -> None:
        """Ends what it has while a call is under way."""

    def _run(self) -> None:
        try:
            self._serve()
        except OSError:
            pass  # the caller went away
        finally:
            self._finish()
            self._sock.close()
            self._ended(self)

    def _serve(self) -> None:
        """Serves it until it ends."""

    def _finish(self) -> None:
        """Ends what it has."""

    def _follow(self) -> None:
        """Goes where the caller is, after an answer; see `Following`."""
        if self._following is not None:
            self._following.look()

    def _write(self, data: bytes) -> None:
        sent = self._sock.send(data) if data else 0
        deadline = time.monotonic() + _SEND_SECONDS if sent < len(data) else 0.0
        while sent < len(data):
            try:
                sent += self._sock.send(memoryview(data)[sent:])
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise


class WebSocketLine(Line):
    """A WebSocket in a thread.

    Args:
        sock: the connection; is taken over.
        request: the bytes of the request to upgrade.
        conversation: what is said.
        peer: the caller's address.
        key: what the caller has shown.
        max_size: bytes of the longest message that is read.
        ended: is called when all is over, in the thread.
    """

    def __init__(
        self,
        sock: socket.socket,
        request: bytes,
        conversation: Conversation,
        peer: str,
        key: str | None,
        max_size: int,
        ended: Callable[[Line], None],
    ) -> None:
        """Keeps all that."""
        super().__init__(sock, ended)
        self._request = request
        self._conversation = conversation
        self._caller = (peer, key)
        self._heard = time.monotonic()
        self._pinged: float | None = None
        self._protocol = ServerProtocol(max_size=max_size)
        self._max_size = max_size

    def abandon(self) -> None:
        """Ends the session while a call is under way."""
        self._conversation.abandon()

    def _finish(self) -> None:
        self._conversation.close()

    def _serve(self) -> None:
        protocol = self._protocol
        protocol.receive_data(self._request)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
        self._flush()
        if protocol.state is not OPEN:
            return
        try:
            self._talk()
        except Close as error:
            self._close(error.code, error.reason)
        else:
            self._close(1000, "")
        self._drain()

    def _talk(self) -> None:
        self._busy_since = time.monotonic()
        try:
            problem = self._conversation.open(*self._caller)
        finally:
            self._busy_since = None
        if problem is not None:
            self._send(problem)
            return
        answer_to = self._conversation.answer
        for message in self._messages():
            self._busy_since = time.monotonic()
            try:
                answer = answer_to(message)
            finally:
                self._busy_since = None
            if answer is None:
                return
            self._send(answer)
            self._follow()

    def _messages(self) -> Iterator[str | bytes]:
        """What the caller says, until it goes away.

        Raises:
            Close: the session has ended, or the caller is silent.
        """
        protocol = self._protocol
        whole, text = bytearray(), True
        alone = True  # whether all frames so far came alone, each in one piece
        while protocol.state is OPEN:
            try:
                data = self._sock.recv(_CHUNK)
            except BlockingIOError:
                self._look()
                continue
            if not data:
                return
            self._heard, self._pinged = time.monotonic(), None
            if alone:
                found = payload(data)
                if found is not None and is_text(data) and len(found) <= self._max_size:
                    yield _text(found)
                    continue
                alone = found is not None and is_control(data)
            protocol.receive_data(data)
            for event in protocol.events_received():
                if not isinstance(event, Frame) or event.opcode > Opcode.BINARY:
                    continue  # pings are answered, and closing is confirmed
                if event.opcode is not Opcode.CONT:
                    whole, text = bytearray(), event.opcode is Opcode.TEXT
                whole += event.data
                if event.fin:
                    yield _text(whole) if text else bytes(whole)
            self._flush()

    def _look(self) -> None:
        over, now = self._conversation.over, time.monotonic()
        if over is not None:
            raise Close(_GOING_AWAY, over)
        if self._pinged is not None and now - self._pinged > _PING_SECONDS:
            raise Close(_SILENT, "keepalive ping timeout")
        if self._pinged is None and now - self._heard > _PING_SECONDS:
            self._pinged = now
            self._protocol.send_ping(b"")
            self._flush()

    def _send(self, text: str) -> None:
        before = self._protocol.data_to_send()  # answers to pings
        self._write(b"".join((*before, text_frame(text.encode("utf-8", "replace")))))

    def _close(self, code: int, reason: str) -> None:
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, short(reason))
        self._flush()

    def _flush(self) -> None:
        self._write(b"".join(self._protocol.data_to_send()))

    def _drain(self) -> None:
        """Waits until the other end has closed, too: else it might not see why."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            while time.monotonic() < deadline:
                with contextlib.suppress(BlockingIOError):
                    if not self._sock.recv(_CHUNK):
                        return


def _text(data: bytes | bytearray) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Close(_NOT_TEXT, f"invalid UTF-8: {error.reason}") from None


def short(reason: str) -> str:
    """A reason that has room in a close frame."""
    return reason.encode("utf-8", "replace")[:120].decode(errors="ignore")
