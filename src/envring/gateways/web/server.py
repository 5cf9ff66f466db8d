# SPDX-License-Identifier: MIT
"""A listener for http:// and https://: uvicorn in a thread of the host."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from envring.errors import AddressError
from envring.gateways.web import json_text
from envring.gateways.web.application import Application
from envring.transport.addresses import Address

if TYPE_CHECKING:
    from envring.gateways.host import Host

_START_SECONDS = 10.0
_END_SECONDS = 2  # for answers that are under way
_MOST_CONNECTIONS = 4096
_LONGEST_HEAD = 1 << 16  # bytes of a request before its body


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
            http=type("_Http", (_Http,), {"seconds": seconds}),
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
            h11_max_incomplete_event_size=_LONGEST_HEAD,
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


class _Http(H11Protocol):
    """Closes connections whose requests do not come in time; uvicorn would wait for ever."""

    seconds: float
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_protocol() is not self:
            return  # it has become a WebSocket
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._late is None:
            self._wait()

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._stop()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._late = self.loop.call_later(self.seconds, self.transport.close)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
