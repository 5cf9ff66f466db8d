# SPDX-License-Identifier: MIT
"""A network between a caller and a host that is slow, splits what it carries, stalls, and fails."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import selectors
import socket
import threading
import time
from typing import Any

_CHUNK = 1 << 16
_SMALL_CHUNK = 1 << 13


class Proxy:
    """Carries bytes to a host and back, in a thread of its own.

    Args:
        url: of the host, tcp://HOST:PORT.
        delay: seconds that bytes are under way in each direction.
        rate: bytes per second in each direction, 0 for as many as there are.
        split: the most bytes that are passed on at once; a seed decides how many.
        seed: of what is random.
        spin: seconds before bytes are due in which it does not sleep: a sleep may end late.

    Attributes:
        url: where to connect to instead of the host.
        carried: bytes so far.
    """

    def __init__(
        self,
        url: str,
        *,
        delay: float = 0.0,
        rate: float = 0,
        split: int = 0,
        seed: int = 0,
        spin: float = 0.0,
    ) -> None:
        """Begins to listen."""
        name, port = url.removeprefix("tcp://").split(":")
        self._host = name, int(port)
        self._delay = delay
        self._spin = spin
        self._rate = rate
        self._free: dict[socket.socket, float] = {}  # when a direction has carried what it has
        self._split = split
        self._random = random.Random(seed)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self.carried = 0
        self._cut_at: int | None = None
        self._stall, self._stalled = threading.Event(), threading.Event()
        self._ended = threading.Event()
        self._selector = selectors.SelectSelector()  # waits to the microsecond
        self._selector.register(self._server, selectors.EVENT_READ)
        self._under_way: list[tuple[float, int, socket.socket, bytes]] = []
        self._count = itertools.count()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._finished: set[socket.socket] = set()  # to which nothing more goes
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()

    # -- trouble ----------------------------------------------------------------------------

    def set_rate(self, rate: float) -> None:
        """Carries so many bytes per second from now on, 0 for as many as there are."""
        self._rate = rate

    def stall(self) -> None:
        """Carries nothing that is sent after this call, and closes nothing."""
        self._stall.set()
        assert self._stalled.wait(10)

    def cut_after(self, nbytes: int) -> None:
        """Closes all connections when it has carried so many bytes more."""
        self._cut_at = self.carried + nbytes

    def close(self) -> None:
        """Ends it."""
        self._ended.set()
        self._thread.join(10)
        self._cut()
        self._selector.close()
        self._server.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the thread -------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended.is_set():
            wait = 0.02
            if self._under_way:
                wait = max(0.0, min(wait, self._under_way[0][0] - self._spin - time.monotonic()))
            if self._stall.is_set():
                self._stalled.set()
                self._ended.wait(0.02)
                continue
            for key, _ in self._selector.select(wait):
                if key.fileobj is self._server:
                    self._accept()
                elif key.fileobj in self._peers:
                    self._read(key.fileobj)
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                _, _, sock, data = heapq.heappop(self._under_way)
                self._deliver(sock, data)

    def _accept(self) -> None:
        caller, _ = self._server.accept()
        try:
            host = socket.create_connection(self._host, 5)
        except OSError:
            caller.close()
            return
        for sock, peer in ((caller, host), (host, caller)):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[sock] = peer
            self._selector.register(sock, selectors.EVENT_READ)

    def _read(self, sock: Any) -> None:
        try:
            data = sock.recv(_CHUNK if not self._rate else _SMALL_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(sock)
        arrival = time.monotonic()
        if self._rate:
            arrival = max(arrival, self._free.get(sock, 0)) + len(data) / self._rate
            self._free[sock] = arrival
        arrival += self._delay
        heapq.heappush(self._under_way, (arrival, next(self._count), self._peers[sock], data))

    def _deliver(self, sock: socket.socket, data: bytes) -> None:
        if not data:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            self._end(sock)
            return
        while data:
            count = self._random.randint(1, self._split) if self._split else len(data)
            if self._cut_at is not None:
                count = min(count, self._cut_at - self.carried)
            self.carried += count  # before who receives it may ask how much it was
            try:
                sock.settimeout(5)
                sock.sendall(data[:count])
            except OSError:
                return
            if self.carried == self._cut_at:
                self._cut_at = None
                self._cut()
                return
            data = data[count:]

    def _end(self, sock: socket.socket) -> None:
        """Nothing more goes to it; closes a connection of which that is true of both ends."""
        self._finished.add(sock)
        peer = self._peers.get(sock)
        if peer in self._finished:
            for each in (sock, peer):
                self._finished.remove(each)
                self._free.pop(each, None)
                del self._peers[each]
                each.close()

    def _cut(self) -> None:
        self._under_way.clear()
        for sock in self._peers:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(sock)
            sock.close()
        self._peers.clear()
        self._finished.clear()
