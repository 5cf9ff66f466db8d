# SPDX-License-Identifier: MIT
"""What a host counts, for Prometheus and for whoever asks whether it is well: over HTTP."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from envring.errors import AddressError
from envring.gateways.latency import BOUNDS
from envring.transport.forked import own

if TYPE_CHECKING:
    from envring.gateways.host import Host

_MOST_REQUESTS = 8  # at a time
_SECONDS = 5.0  # of silence after which who asks is given up
_ADDRESS = re.compile(r"(?:(?:http://)?(?P<host>\[[^]]+\]|[^:/]+):)?(?P<port>[0-9]{1,5})/?")
_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Metrics:
    """Answers /healthz and /metrics until it is closed.

    Args:
        host: what it tells of.
        where: a port of this machine, or "http://HOST:PORT"; port 0 takes a free one.

    Attributes:
        url: where it answers.

    Raises:
        AddressError: the address is in use, malformed, or another machine's and not allowed.
    """

    def __init__(self, host: Host, where: str | int) -> None:
        """Begins to answer."""
        name, port = _parse(where)
        try:
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            family, _, _, _, address = found[0]
            if not (ipaddress.ip_address(address[0]).is_loopback or host.options.insecure):
                raise AddressError(
                    f"--metrics {where} can be reached by others. Give a port alone for this "
                    "machine, or --insecure if the network is yours alone."
                )
            kind = type("_Server", (_Server,), {"address_family": family})
            self._server = kind(address[:2], _Handler)
        except OSError as error:
            raise AddressError(f"--metrics {where}: {error.strerror or error}.") from None
        own(self._server.socket)
        self._server.host = host
        shown = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
        self.url = f"http://{shown}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="envring-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stops to answer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_SECONDS)


def _parse(where: str | int) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(str(where))
    if found is None or int(found["port"]) > 0xFFFF:
        raise AddressError(f"--metrics {where!r} is neither a port nor http://HOST:PORT.")
    return (found["host"] or "127.0.0.1").strip("[]"), int(found["port"])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    host: Host

    def __init__(self, *args: Any) -> None:
        self._room = threading.Semaphore(_MOST_REQUESTS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # who asked went away


class _Handler(BaseHTTPRequestHandler):
    timeout = _SECONDS
    server: _Server
    server_version = "envring"
    sys_version = ""

    def do_GET(self) -> None:
        host = self.server.host
        path = self.path.partition("?")[0]
        if path == "/healthz":
            ending = host.sessions.closing
            self._answer(503 if ending else 200, "draining\n" if ending else "ok\n")
        elif path == "/metrics":
            self._answer(200, render(host))
        else:
            self._answer(404, "there are /healthz and /metrics\n")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def render(host: Host) -> str:
    """All metrics of a host, as Prometheus reads them."""
    return "".join(f"{line}\n" for line in _lines(host))


def _lines(host: Host) -> Iterator[str]:
    sessions = host.sessions
    counts = sessions.counts
    limits = {each.name: each.slots for each in host.runtimes if each.slots is not None}
    used = {each.name: sessions.used(each) for each in host.runtimes}
    yield from _one("sessions", "gauge", "Sessions of now.", len(sessions))
    yield from _one("connections", "gauge", "Connections of now.", host.num_connections)
    yield from _one("slots_used", "gauge", "Envs of now.", sessions.used())
    if sessions.slots is not None:
        yield from _one("slots", "gauge", "The most envs at a time.", sessions.slots)
    yield from _each("runtime_slots_used", "Envs of now, by runtime.", used)
    if limits:
        yield from _each("runtime_slots", "The most envs at a time, by runtime.", limits)
    yield from _one("draining", "gauge", "Whether the host is about to end.", sessions.closing)
    yield from _one("env_steps_total", "counter", "Steps of envs.", sessions.steps)
    for name, metric, text in (
        ("opened", "sessions_opened_total", "Sessions that were opened."),
        ("resumed", "sessions_resumed_total", "Callers that came back to a session."),
        ("expired", "sessions_expired_total", "Sessions that were ended for their silence."),
        ("refused", "refused_total", "Callers that were refused."),
        ("deaths", "worker_deaths_total", "Workers that ended unexpectedly."),
    ):
        yield from _one(metric, "counter", text, counts[name])
    yield from _head("batch_seconds", "histogram", "From a batch's request to its answer.")
    for wire, latency in list(host.latencies.items()):  # a wire may come meanwhile
        at_most = list(accumulate(latency.counts))
        for bound, count in zip([*map(repr, BOUNDS), "+Inf"], at_most, strict=True):
            yield f'envring_batch_seconds_bucket{{wire="{wire}",le="{bound}"}} {count}'
        yield f'envring_batch_seconds_sum{{wire="{wire}"}} {latency.total!r}'
        yield f'envring_batch_seconds_count{{wire="{wire}"}} {at_most[-1]}'


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP envring_{name} {text}"
    yield f"# TYPE envring_{name} {kind}"


def _one(name: str, kind: str, text: str, value: int) -> Iterator[str]:
    yield from _head(name, kind, text)
    yield f"envring_{name} {value:d}"


def _each(name: str, text: str, values: dict[str, int]) -> Iterator[str]:
    yield from _head(name, "gauge", text)
    for runtime, value in values.items():
        yield f'envring_{name}{{runtime="{runtime.translate(_ESCAPED)}"}} {value}'
