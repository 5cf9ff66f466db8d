# SPDX-License-Identifier: MIT
"""The gRPC server of dm_env_rpc."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from envring.errors import AddressError
from envring.gateways.dm_env_rpc.callers import OURS
from envring.gateways.dm_env_rpc.grpc_library import grpc
from envring.gateways.dm_env_rpc.service import Stream, answers
from envring.gateways.guests import Guests
from envring.transport.addresses import Address
from envring.transport.forked import own
from envring.transport.listening import find_place
from envring.transport.tls import Certificates

if TYPE_CHECKING:
    from envring.gateways.host import Host

log = logging.getLogger("envring.serve")

_SERVICE, _METHOD = "dm_env_rpc.v1.Environment", "Process"
_SPARE = 8  # streams beyond the sessions: callers look at the specs before they come to stay
_IDLE_SECONDS = 60.0  # for a caller to make a world
_LOOK_SECONDS = 1.0  # between two looks for those that do not
_CLOSE_SECONDS = 2.0  # for streams to end
_KEEPALIVE_MS, _KEEPALIVE_PATIENCE_MS = 30_000, 10_000  # callers whose machine is gone


class GrpcListener:
    """Answers dm_env_rpc at an address.

    Attributes:
        url: where.
    """

    def __init__(self, host: Host, address: Address, certificates: Certificates | None) -> None:
        """Begins to answer.

        Args:
            host: whose envs.
            address: "grpc://HOST:PORT" or "grpcs://..."; port 0 takes a free one.
            certificates: for grpcs://.

        Raises:
            AddressError: the address is in use, or not allowed, or a certificate does not do.
        """
        options = host.options
        self._idle_seconds = max(_IDLE_SECONDS, options.handshake_timeout)
        secure = address.scheme == "grpcs"
        find_place(address, secure, options.insecure, "Use grpcs://, or give --insecure.")
        self._host = host
        self._guests = Guests(host)
        self._streams: dict[Stream, Any] = {}  # and their contexts
        self._closing = threading.Event()
        self._server = grpc.server(
            _Threads(),
            maximum_concurrent_rpcs=options.max_sessions + _SPARE,
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", options.max_frame),
                ("grpc.max_send_message_length", -1),
                ("grpc.server_handshake_timeout_ms", int(1000 * options.handshake_timeout)),
                ("grpc.max_connection_idle_ms", int(1000 * self._idle_seconds)),
                ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
                ("grpc.keepalive_timeout_ms", _KEEPALIVE_PATIENCE_MS),
            ],
        )
        handler = grpc.stream_stream_rpc_method_handler(self._process)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),)
        )
        try:
            port = self._bind(replace(address, scheme="").__str__()[3:], secure, certificates)
        except (RuntimeError, ValueError) as error:
            raise AddressError(f"{address} cannot be served: {error}") from None
        self._sockets: _Sockets | None = _Sockets(port)
        own(self._sockets)
        self._server.start()
        threading.Thread(target=self._watch, name="envring-grpc", daemon=True).start()
        self.url = str(replace(address, port=port))

    def _bind(self, place: str, secure: bool, certificates: Certificates | None) -> int:
        if ":" not in place.rpartition("]")[2]:
            place += ":0"
        if not secure:
            return int(self._server.add_insecure_port(place))
        if certificates is None:
            raise ValueError("it needs a certificate: --cert FILE --certkey FILE.")
        chain, key, authority = certificates.read()
        credentials = grpc.ssl_server_credentials([(key, chain)], authority, authority is not None)
        return int(self._server.add_secure_port(place, credentials))

    def _process(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        peer = str(context.peer())
        name = peer.rpartition(":")[0].removeprefix("ipv4:")
        has_room = self._host.arrive(name)
        if not context.add_callback(lambda: self._host.leave(name)):
            self._host.leave(name)
            return iter(())  # it is gone already
        if not has_room:
            self._host.sessions.counts["refused"] += 1
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "There are too many connections.")
        metadata = dict(context.invocation_metadata())
        scheme, _, key = str(metadata.get("authorization", "")).partition(" ")
        shown = key if scheme.lower() == "bearer" else None
        stream = Stream(self._guests, peer, shown, metadata.get(OURS[0]) == OURS[1])
        self._streams[stream] = context

        def gone() -> None:
            self._streams.pop(stream, None)
            _Threads().submit(stream.close)

        if not context.add_callback(gone):
            gone()
            return iter(())
        return answers(stream, requests)

    def _watch(self) -> None:
        """Ends streams on which nobody makes a world."""
        while not self._closing.wait(_LOOK_SECONDS):
            end_idle(self._streams, self._idle_seconds)

    def close(self) -> None:
        """Ends all streams, and stops to listen."""
        self._closing.set()
        self._server.stop(None).wait(_CLOSE_SECONDS)
        self._sockets = None


def end_idle(streams: Mapping[Stream, Any], seconds: float) -> None:
    """Cancels streams, by their contexts, that have had no world for so long."""
    for stream, context in list(streams.items()):
        if stream.idle > seconds:
            log.info("%s was ended: it has no world", str(context.peer()))
            context.cancel()


class _Sockets:
    """The server's listener and connections, for a forked copy of this process to leave.

    gRPC shows them to nobody. Its own handlers close them in a copy, but not while its threads are
    at work, not in old releases, and not if GRPC_ENABLE_FORK_SUPPORT=0.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def close(self) -> None:
        """Puts nothing in their places, so that gRPC, if it closes them, closes nothing else."""
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in map(int, os.listdir("/proc/self/fd")):
            try:
                sock = socket.socket(fileno=fd)
            except OSError:
                continue  # something else
            inet = sock.family in (socket.AF_INET, socket.AF_INET6)
            if inet and sock.getsockname()[1] == self._port:
                os.dup2(nothing, fd, inheritable=False)
            sock.detach()
        os.close(nothing)


class _Threads(Executor):
    """A thread for each stream, since a stream lasts; their number is the server's concern."""

    def submit(self, run: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Starts a thread that does not keep the process alive."""
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(run(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, name="envring-grpc", daemon=True).start()
        return future
