# SPDX-License-Identifier: MIT
"""Workers that are replaced as planned, between episodes: `restart_every=`.

A worker counts by itself (`envring_worker/retiring.py`). It says when it will leave soon: then
another process is started beside it, so that nobody waits for it later. When it leaves it says so,
closes its envs and ends.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from envring.transport.codec import as_bytes
from envring.transport.polling import readable
from envring.workers.handle import WorkerHandle
from envring.workers.relay import Relay

log = logging.getLogger("envring")

_CLOSE_SECONDS = 10.0  # for the envs of a worker that leaves
_SECONDS = 1.0  # for its message


class Planned:
    """Workers that leave, and those that were started beside them.

    Attributes:
        numbers: how often each worker was replaced as planned.
        beside: started in advance, by the number of the worker whose place each will take. They
            end with the pool's workers.
    """

    def __init__(
        self, count: int, beside: dict[int, WorkerHandle], relays: Mapping[int, Relay]
    ) -> None:
        """Begins with so many workers, of which none leaves; `relays` hear what some say."""
        self.numbers = [0] * count
        self.beside = beside
        self._relays = relays
        self._ends: dict[int, dict[int, bytes]] = {}
        self._since: dict[int, float] = {}  # when one said that it leaves

    def prepare(self, workers: set[int], start: Callable[[int], None]) -> None:
        """Has `start` start processes beside workers that will leave."""
        for w in workers.difference(self.beside):
            try:
                start(w)
            except Exception as error:  # it is started again when the other has left
                log.info("No worker could be started beside number %d: %s", w, error)
        workers.clear()

    def listen(self, workers: Sequence[tuple[int, WorkerHandle]]) -> None:
        """Hears who leaves. A worker whose envs do not close is killed."""
        for w, worker in workers:
            since = self._since.get(w)
            if since is None:
                self._hear(w, worker)
            elif time.monotonic() - since > _CLOSE_SECONDS:
                worker.process.kill()

    def has_left(self, w: int, worker: WorkerHandle) -> bool:
        """Whether a worker that has ended had said that it leaves; counts it."""
        if w not in self._since:
            self._hear(w, worker)
        left = self._since.pop(w, None) is not None
        self.numbers[w] += left
        return left

    def _hear(self, w: int, worker: WorkerHandle) -> None:
        if w in self._relays:
            if self._relays[w].retired is not None:
                with contextlib.suppress(Exception):
                    self._leaves(w, worker, self._relays[w].retired)
            return
        fd = worker.channel.sock.fileno()
        if fd < 0 or not readable([fd], 0):
            return
        # it died meanwhile, or is long about it; or it is another interpreter, and talks nonsense
        with contextlib.suppress(Exception):
            name, ends = worker.channel.receive(_SECONDS)
            if name == "retired":
                self._leaves(w, worker, ends)

    def _leaves(self, w: int, worker: WorkerHandle, ends: Any) -> None:
        self._ends[w] = _checked(ends, worker.env_ids)
        self._since[w] = time.monotonic()

    def ends(self, w: int) -> Mapping[int, bytes]:
        """What the last steps of a worker's envs returned, if they are ends nobody knows of yet."""
        return self._ends.get(w, {})

    def replaced(self, w: int) -> None:
        """A worker that has left has its successor."""
        self._ends.pop(w, None)


def _checked(ends: Any, env_ids: Sequence[int]) -> dict[int, bytes]:
    """Bytes by the id of an env, for another process of the same kind.

    Raises:
        ValueError: it is something else.
    """
    found = {i: as_bytes(data) for i, data in ends.items()}
    if not found.keys() <= set(env_ids):
        raise ValueError("not envs of this worker")
    if not all(isinstance(data, bytes) for data in found.values()):
        raise ValueError("not what an env has returned")
    return found
