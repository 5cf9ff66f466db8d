# SPDX-License-Identifier: MIT
"""A listener for http:// and https://: uvicorn in a thread of the host."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from envring.errors import AddressError
from envring.gateways.web import json_text
from envring.gateways.web.application import HAS_ROOM, Application
from envring.gateways.web.callers import peer_of
from envring.transport.addresses import Address
from envring.transport.forked import own

if TYPE_CHECKING:
    from envring.gateways.host import Host

_START_SECONDS = 10.0
_END_SECONDS = 2  # for answers that are under way
_MOST_CONNECTIONS = 4096
_SAME = ("type", "asgi", "server", "client", "scheme", "root_path")  # in all requests
_LONGEST_HEAD = 1 << 16  # bytes of a request before its body
_LONGEST_MESSAGE = 8 * json_text.LONGEST  # with what divides it into chunks


class WebServer:
    """Serves a host's envs over HTTP and WebSockets until it is closed.

    Args:
        host: whose.
        address: that `sock` listens at.
        sock: is taken over.
        tls: for https://, else None.

    Attributes:
        url: where it listens.

    Raises:
        AddressError: it could not be started.
    """

    def __init__(
        self, host: Host, address: Address, sock: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        """Begins to serve."""
        self.url = str(address)
        seconds = host.options.handshake_timeout
        self._application = Application(host)
        config = uvicorn.Config(
            self._application,
            http=type("_Http", (_Http,), {"seconds": seconds, "application": self._application}),
            ws="websockets-sansio",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws_max_size=min(host.options.max_frame, json_text.LONGEST),
            ws_per_message_deflate=False,  # costs more than the loopback, and loses reasons
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_END_SECONDS,
        )
        config.load()
        config.ssl = tls
        self._sock = sock
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([sock],), name="envring-web", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self.close()
                raise AddressError(f"{self.url} cannot be served: see the log.")
            self._thread.join(0.005)

    def close(self) -> None:
        """Ends connections, and stops to listen."""
        self._server.should_exit = True
        self._thread.join(_END_SECONDS + 3.0)
        self._sock.close()
        self._application.close()


class _Http(HttpToolsProtocol):
    """Counts connections, and closes those whose requests are too long or too late."""

    seconds: float
    application: Application
    _peer: str | None = None  # while it is counted
    _has_room = True
    _late: asyncio.TimerHandle | None = None
    _has_begun = False
    _size, _most = 0, _LONGEST_HEAD

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        sock = getattr(transport.get_extra_info("socket"), "_sock", None)
        if sock is not None:
            own(sock)
        self._peer = peer_of({"client": self.client})
        self._has_room = self.application.host.arrive(self._peer)
        if not self._has_room:
            self._leave()
        self._wait()

    def _leave(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            self.application.host.leave(peer)

    def data_received(self, data: bytes) -> None:
        if self._is_free() and b"pgrade:" not in data:
            self._stop()
            self._unset_keepalive_if_required()
            scope = {key: self.scope[key] for key in _SAME}  # type: ignore[literal-required]
            if self.application.take_requests(scope, data, self.seconds, self._detached):
                return
        super().data_received(data)
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return  # it has become a WebSocket
        self._size += len(data) if self._has_begun else 0
        if self._size > self._most:
            self.transport.abort()
        elif self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._late is None:
            self._wait()

    def _is_free(self) -> bool:
        """Whether requests came before, all of which are answered, and the next one begins."""
        return (
            self.scheme == "http"
            and self.cycle is not None
            and self.cycle.response_complete
            and not (self._has_begun or self.pipeline or self.transport.is_closing())
            and not self.transport.get_write_buffer_size()
        )

    def on_message_begin(self) -> None:
        self._has_begun, self._size, self._most = True, 0, _LONGEST_HEAD
        super().on_message_begin()
        self.scope[HAS_ROOM] = self._has_room  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        self._size, self._most = 0, _LONGEST_MESSAGE
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._has_begun = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._stop()
        if self.scheme != "http" or not self._has_room or not self._give_away():
            self._leave()  # the application counts WebSockets
            super().handle_websocket_upgrade()

    def _give_away(self) -> bool:
        """Lets a thread have the connection."""
        method, url = self.scope["method"].encode(), self.url
        fields = b"".join(b"%b: %b\r\n" % each for each in self.headers)
        path = unquote(httptools.parse_url(url).path.decode("ascii"))
        scope = {"type": "websocket", "path": path, "headers": self.headers, "client": self.client}
        request = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, url, fields)
        return self.application.take_over(scope, request, self._detached)

    def _detached(self) -> socket.socket:
        self._peer = None  # who takes it over has to say that it ends
        number = os.dup(self.transport.get_extra_info("socket").fileno())
        self.connections.discard(self)
        self.transport.abort()  # closes its own descriptor, not the connection
        return socket.socket(fileno=number)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._leave()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(self.seconds, self.transport.close)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
