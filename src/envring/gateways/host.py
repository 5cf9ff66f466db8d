# SPDX-License-Identifier: MIT
"""A host: listeners, connections and sessions, in threads of this process."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from envring.errors import AddressError, HostRefused
from envring.gateways.connection import Connection
from envring.gateways.dialling_out import keep_dialling
from envring.gateways.latency import Latency
from envring.gateways.options import HostOptions
from envring.gateways.runtimes import Runtimes
from envring.gateways.sessions import Sessions
from envring.pool.remote_errors import describe
from envring.transport import frames
from envring.transport.addresses import Address, no_delay
from envring.transport.forked import own
from envring.transport.frames import Link, LinkClosed
from envring.transport.listening import bind

if TYPE_CHECKING:
    from envring.gateways.metrics import Metrics

log = logging.getLogger("envring.serve")

_TICK = 0.1  # seconds between two looks at the connections
_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"  # of TLS, for callers that speak something else
_LAST_SECONDS = 2.0  # for connections to tell their callers that the host ends
_END_SECONDS = 5.0  # for sessions to end whose workers are killed
_MOST_CONNECTIONS = 4096  # of all peers together


class Listener(Protocol):
    """Serves callers that speak another project's wire.

    Attributes:
        url: where it listens.
    """

    url: str

    def close(self) -> None:
        """Ends its connections, and stops to listen."""


class Host:
    """Serves envs until it is closed. Made by `envring.serve`; usable in a `with` statement.

    Attributes:
        urls: where it listens, ready for `remotes=`.
        runtimes: what it serves.
        options: its limits.
        sessions: who is there.
        latencies: how long batches took, by wire.
        metrics: what answers for Prometheus, or None.
        closing: set when the host is to end.
    """

    def __init__(
        self,
        runtimes: Runtimes,
        listen: Sequence[Address],
        options: HostOptions,
        slots: int | None = None,
        tls: ssl.SSLContext | None = None,
        connect: Sequence[Address] = (),
    ) -> None:
        """Begins to listen, and to dial out.

        Args:
            runtimes: what to serve.
            listen: where; port 0 takes a free one.
            options: limits.
            slots: the most envs at a time, None for no limit.
            tls: for addresses that begin with tls://.
            connect: callers that wait for hosts; see `keep_dialling`.

        Raises:
            AddressError: an address is in use, or not allowed.
        """
        self.runtimes = runtimes
        self.options = options
        self.sessions = Sessions(options, slots)
        self.latencies = {"envring": Latency()}  # by wire
        self.metrics: Metrics | None = None  # closed with the host
        self._others: list[Listener] = []  # of other wires
        self._tls = tls
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._shaking: set[ssl.SSLSocket] = set()
        self._peers: Counter[str] = Counter()
        self._listeners: list[tuple[Address, socket.socket]] = []
        self.closing = threading.Event()
        self._hurried = threading.Event()
        self._ended = threading.Event()
        self._ending = threading.Lock()
        try:
            for address in listen:
                self._listeners.append(self._bind(address))
        except BaseException:
            self._stop_listening()
            raise
        self.urls = [str(address) for address, _ in self._listeners]
        for address, sock in self._listeners:
            self._start(self._accept, address, sock)
        for address in connect:
            self._start(keep_dialling, self, address)
        self._start(self._tick)

    def add_listener(self, listener: Listener) -> None:
        """Has a listener of another wire be closed with the host."""
        self._others.append(listener)
        self.urls.append(listener.url)

    def asgi(self) -> Any:
        """An ASGI application of the host's envs, for a server of your own; needs `envring[web]`.

        It speaks the wires that `listen="http://..."` speaks, and may be mounted below any path.
        """
        from envring.gateways.web.application import Application

        return Application(self)

    @property
    def url(self) -> str:
        """The first of `urls`."""
        return self.urls[0]

    def _bind(self, address: Address) -> tuple[Address, socket.socket]:
        tls = self._tls if address.scheme == "tls" else None
        if address.scheme == "tls" and tls is None:
            raise AddressError(
                f"{address} needs a certificate: --cert FILE --certkey FILE. `envring serve cert` "
                "makes them for a local network."
            )
        return bind(
            address,
            tls,
            self.options.insecure,
            "Use tls://, or ssh://, or give --insecure if the network is yours alone.",
        )

    def _start(self, run: Any, *args: Any) -> threading.Thread:
        thread = threading.Thread(target=run, args=args, name="envring-host", daemon=True)
        thread.start()
        return thread

    # -- connections ------------------------------------------------------------------------

    def _accept(self, address: Address, sock: socket.socket) -> None:
        while not self.closing.is_set():
            try:
                connected, peer = sock.accept()
                own(connected)
            except OSError:
                if self.closing.is_set():
                    return
                time.sleep(_TICK)  # too many descriptors: others may end
                continue
            name = str(peer[0]) if isinstance(peer, tuple) else "unix"
            shown = f"{name}:{peer[1]}" if isinstance(peer, tuple) else str(address)
            has_room = self.arrive(name)
            try:
                if has_room:
                    self._start(self._greet, address, connected, name, shown)
                    continue
            except RuntimeError:  # this process can have no more threads
                pass
            log.warning("%s was refused: there are too many connections", shown)
            self.sessions.counts["refused"] += 1
            self.leave(name)
            _turn_away(Link(connected, shown), address)

    def arrive(self, name: str) -> bool:
        """Counts a connection of a peer; whether there is room for it. It has to `leave`."""
        with self._lock:
            self._peers[name] += 1
            return (
                self._peers[name] <= self.options.max_connections
                and self._peers.total() <= _MOST_CONNECTIONS
            )

    def leave(self, name: str) -> None:
        """A connection of a peer has ended."""
        with self._lock:
            self._peers[name] -= 1
            if not self._peers[name]:
                del self._peers[name]

    def _greet(self, address: Address, sock: socket.socket, name: str, shown: str) -> None:
        try:
            if address.scheme != "unix":
                no_delay(sock)
            if address.scheme == "tls":
                assert self._tls is not None
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                own(sock)
                self._shake_hands(sock)
            self.serve(Link(sock, shown))
        except OSError as error:
            log.warning("%s was refused: %s", shown, str(error))
            self.sessions.counts["refused"] += 1
            sock.close()
        finally:
            self.leave(name)

    def _shake_hands(self, sock: ssl.SSLSocket) -> None:
        with self._lock:
            self._shaking.add(sock)
        try:
            sock.settimeout(self.options.handshake_timeout)
            sock.do_handshake()
        except ssl.SSLError as error:
            _let_it_read(sock, _ALERT if error.reason == "WRONG_VERSION_NUMBER" else b"")
            raise
        finally:
            with self._lock:
                self._shaking.remove(sock)

    def serve(self, link: Link, greeted: bool = False) -> bool:
        """Serves one connection in this thread, until it ends; whether its caller was let in.

        Args:
            link: the connection.
            greeted: whether both ends know each other's versions.
        """
        connection = Connection(self, link)
        with self._lock:
            self._connections[connection] = threading.current_thread()
        try:
            connection.run(greeted)
        finally:
            with self._lock:
                del self._connections[connection]
        return connection.is_welcome

    def _tick(self) -> None:
        """Sends signs of life for requests that take long, and ends sessions that are over."""
        while not self._ended.wait(_TICK):  # sessions end while a host drains, too
            now = time.monotonic()
            try:
                self._beat(now)
                self.sessions.expire(now)
            except Exception:
                log.exception("sessions could not be looked after")

    def _beat(self, now: float) -> None:
        for connection in self._living():
            connection.show_life(now)

    def _living(self) -> list[Connection]:
        with self._lock:
            return list(self._connections)

    @property
    def num_connections(self) -> int:
        """Connections of now, those included that only shake hands."""
        with self._lock:
            return self._peers.total()

    # -- the end ----------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the host is closed, from another thread or by a signal; whether it is."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self._ended.is_set():
            left = _TICK if until is None else min(_TICK, until - time.monotonic())
            if left < 0:
                break
            self._ended.wait(left)  # a signal that another thread receives does not wake this one
        return self._ended.is_set()

    def close(self, drain: float = 0.0) -> None:
        """Takes no new sessions, gives running ones some seconds, then ends them.

        Args:
            drain: seconds for running sessions to end by themselves.
        """
        if drain <= 0:
            self._hurried.set()
        with self._ending:
            if not self._ended.is_set():
                self._close(drain)

    def _close(self, drain: float) -> None:
        self.closing.set()
        self.sessions.closing = True
        self._stop_listening()
        deadline = time.monotonic() + drain
        while len(self.sessions) and time.monotonic() < deadline:
            if self._hurried.wait(0.05):  # polling, bounded by the deadline
                break
        self.sessions.over = True  # connections see that, and tell their callers
        with self._lock:
            connections = dict(self._connections)
            for shaking in self._shaking:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(shaking, socket.SHUT_RDWR)
        for connection in connections:
            if not connection.is_welcome:
                connection.link.shut_down()
        for seconds in (_LAST_SECONDS, _END_SECONDS):
            _join(connections.values(), seconds)
            for connection in self._living():
                connection.link.shut_down()
            self.sessions.hurry()
        # at the same time: each may take a second
        ends = [self._start(self.sessions.end, entry) for entry in self.sessions.all()]
        _join(ends, _END_SECONDS + len(ends))
        for listener in self._others:
            listener.close()
        if self.metrics is not None:
            self.metrics.close()
        self._ended.set()

    def end_now(self) -> None:
        """Has a `close` that gives sessions time go on at once."""
        self._hurried.set()

    def _stop_listening(self) -> None:
        for address, sock in self._listeners:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes who accepts
            sock.close()
            if address.scheme == "unix":
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(address.path)

    def __enter__(self) -> Host:
        """Returns the host."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the host."""
        self.close()


def _join(threads: Iterable[threading.Thread], seconds: float) -> None:
    """Waits for other threads, so long at most."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(max(deadline - time.monotonic(), 0.0))


def _turn_away(link: Link, address: Address) -> None:
    """Closes a connection that is one too many, and says so if that takes no time."""
    error = HostRefused("This host has too many connections. Try again later.", "full")
    now = time.monotonic()
    with contextlib.suppress(LinkClosed):
        if address.scheme != "tls":
            link.send_greeting(now)
            link.send(frames.ERROR, [describe(error)], deadline=now)
    link.close()


def _let_it_read(sock: ssl.SSLSocket, last: bytes) -> None:
    """Reads what a refused caller still sends: if it were reset, it might not see why."""
    with contextlib.suppress(OSError):
        socket.socket.send(sock, last)
        socket.socket.shutdown(sock, socket.SHUT_WR)
        sock.settimeout(0.5)
        for _ in range(16):
            if not socket.socket.recv(sock, 1 << 16):
                break
