# SPDX-License-Identifier: MIT
"""The workers of a pool that answer by their channels: those that cannot load the library."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from envring.errors import EnvringError
from envring.transport.channel import ChannelClosed
from envring.workers.relay import Relay, take_ready

if TYPE_CHECKING:
    from envring.pool.worker_pool import WorkerPool

_SLICE = 0.05  # seconds between two looks for the dead
_SOON = 0.002  # the same, while a worker is started again


class Relays(dict[int, Relay]):
    """Relays, by the numbers of their workers."""

    def __init__(self, pool: WorkerPool) -> None:
        """Begins with none."""
        super().__init__()
        self._pool: WorkerPool = weakref.proxy(pool)  # it ends when nobody else holds it

    def forward(self) -> None:
        """Sends the command that was just posted to workers that cannot read their rings."""
        for relay in self.values():
            self._through(relay, relay.forward)

    def find(self, w: int, messages: list[bytes]) -> None:
        """Sends a new worker what was posted to it, and these messages."""
        relay, worker = self[w], self._pool.workers[w]
        self._through(relay, partial(relay.find, worker, messages))

    def hear_out(self, w: int) -> None:
        """Takes what worker w, which has ended, had answered before, if it has a relay."""
        if w in self:
            self[w].hear_out()

    def lose(self, w: int, owes: bool) -> None:
        """See `Relay.lose`, if worker w has one."""
        if w in self:
            self[w].lose(owes)

    def _through(self, relay: Relay, send: Callable[[Callable[[], None]], None]) -> None:
        deaths = self._pool.deaths
        try:
            send(partial(deaths.look_for_late, relay.worker))
        except EnvringError as error:
            raise deaths.end(error) from error.__cause__
        except ChannelClosed:
            self._pool.lost(relay.worker)

    def take(self, seconds: float) -> bool:
        """Takes what workers have answered; whether there was anything."""
        pool = self._pool
        return take_ready(self.values(), seconds, pool.deaths.look_for_late, pool.lost)

    def wait(self, deadline: float | None) -> bool:
        """Waits until none owes an answer; False when time was up."""
        pool = self._pool
        look = time.monotonic() + _SLICE
        while any(relay.busy for relay in self.values()):
            under_way = pool.restarts is not None and pool.restarts.under_way
            left = _SOON if under_way else _SLICE
            if deadline is not None:
                left = min(left, deadline - time.monotonic())
            took = self.take(left)
            now = time.monotonic()
            if not took or now >= look:
                look = now + _SLICE
                pool.deaths.look_for_late()
                pool.drain()  # the others must not wait for room meanwhile
            if deadline is not None and now >= deadline:
                return not any(relay.busy for relay in self.values())
        return True
