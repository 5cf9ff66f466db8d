# SPDX-License-Identifier: MIT
"""Replies of workers, as they come: in parts from their rings, or whole through relays.

The rings of foreign workers hold what their envs may have written there. Lengths and positions are
checked, and what does not fit is an error that names the envs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from envring._foreign.envring_worker.retiring import HINT_LEAVES_SOON
from envring.core import _core
from envring.errors import EnvringError, format_env_ids
from envring.pool.reply import Reply, check_part
from envring.workers.handle import WorkerHandle, damaged
from envring.workers.relay import Relay

_REPLIES, _INFOS = 1, 2  # of CallerPort.attention
_HEAD = struct.Struct("=IIQ")  # er_env_reply_t
MAX_REPLY = 1 << 31  # bytes of one worker's reply


class Replies:
    """Reads the replies of a pool's workers.

    Args:
        port: the caller's port.
        workers: the workers, in the order of their rings.
        relays: of workers that answer by their channels, by the worker's number.
        num_leaves: leaves of an observation.

    Attributes:
        any_info: whether any env had an info in the batch that was collected last.
        hints: what workers noticed in that batch.
        leaving: numbers of workers that will leave soon, until somebody takes them out.
    """

    def __init__(
        self,
        port: _core.CallerPort,
        workers: Sequence[WorkerHandle],
        relays: Mapping[int, Relay],
        num_leaves: int,
    ) -> None:
        """Begins with empty rings."""
        self.any_info = False
        self.hints = 0
        self.leaving: set[int] = set()
        self._port = port
        self._workers = workers
        self._relays = relays
        self._num_leaves = num_leaves
        self._parts: dict[int, bytearray] = {}
        self._of_envs: dict[int, tuple[WorkerHandle, dict[str, Any]]] = {}

    def collect(self) -> Reply | None:
        """The reply of the complete batch; None if all of it is in the arrays.

        Raises:
            EnvringError: a reply cannot be read; the text names the envs.
        """
        port = self._port
        attention = port.attention() if port.uncollected else 0
        if self._relays and any(r.reply is not None for r in self._relays.values()):
            attention |= _REPLIES
        self.any_info = attention & _INFOS != 0
        if not attention & _REPLIES:
            port.uncollected = False
            return None
        reply = Reply()
        self.hints = 0
        for w, worker in enumerate(self._workers):
            nbytes, hints = port.report(w)
            self.hints |= hints
            if hints & HINT_LEAVES_SOON:
                self.leaving.add(w)
            data = self._relays[w].take_reply() if w in self._relays else None
            if nbytes:
                data = self._take(w, nbytes)
            if data is not None:
                reply.add(worker.env_ids[0], self._read(worker, data), worker.channel.wire.loads)
        port.uncollected = False
        return reply

    # -- of single envs ---------------------------------------------------------------------

    def failed(self, env_ids: Sequence[int]) -> list[int]:
        """Those of the envs, whose results have come, that answered with an exception.

        Raises:
            EnvringError: a reply cannot be read; the text names the envs.
        """
        for w, worker in enumerate(self._workers):
            if w in self._relays:
                for env_id, data in self._relays[w].take_replies():
                    self._of_envs[env_id] = worker, self._read(worker, data, env_id)
            elif w in self._parts or self._port.holds_reply(w):
                self.split(w)
        found = self._of_envs
        return [e for e in env_ids if e in found and found[e][1]["failures"]]

    def split(self, w: int) -> None:
        """Takes what a worker's ring has apart; the last reply may not be whole."""
        worker = self._workers[w]
        data = self._parts.pop(w, None) or bytearray()
        data += self._ring(w)
        at = 0
        while len(data) - at >= _HEAD.size:
            env_id, _, nbytes = _HEAD.unpack_from(data, at)
            if env_id not in worker.env_ids or nbytes > MAX_REPLY:
                raise damaged(worker, "its ring holds a reply that is none of its envs'")
            end = at + _HEAD.size + nbytes
            if end > len(data):
                break
            part = self._read(worker, bytes(data[at + _HEAD.size : end]), env_id)
            self._of_envs[env_id] = worker, part
            at = end
        if at < len(data):
            self._parts[w] = data[at:]

    def collect_some(self, env_ids: Sequence[int]) -> Reply | None:
        """What these envs answered beyond arrays, once; after `failed`."""
        if not self._of_envs:
            return None
        found = [self._of_envs.pop(env_id) for env_id in env_ids if env_id in self._of_envs]
        if not found:
            return None
        reply = Reply()
        for worker, part in found:
            reply.add(worker.env_ids[0], {**part, "results": None}, worker.channel.wire.loads)
        return reply

    # -- rings ------------------------------------------------------------------------------

    def drain(self) -> None:
        """Makes room in the rings, keeping what was in them, and lets waiting workers go on.

        Raises:
            EnvringError: a ring is damaged, or a reply has no end; the text names the envs.
        """
        for w in range(len(self._workers)):
            self.drain_one(w)
        self._port.ring()

    def drain_one(self, w: int) -> None:
        """As `drain`, of one worker, which is not woken."""
        data = self._ring(w)
        if data:
            part = self._parts.setdefault(w, bytearray())
            part += data
            if len(part) > MAX_REPLY:
                raise damaged(self._workers[w], f"its reply has more than {MAX_REPLY} bytes")

    def drop_one(self, w: int, env_ids: Iterable[int] = ()) -> None:
        """Drops what a worker has answered that is not complete, and what these envs have."""
        self._parts.pop(w, None)
        for env_id in env_ids:
            self._of_envs.pop(env_id, None)

    def drop(self) -> None:
        """Drops what is left of a complete batch whose collection was interrupted."""
        self._parts.clear()
        for relay in self._relays.values():
            relay.take_reply()
        for w in range(len(self._workers)):
            self._ring(w)

    def _ring(self, w: int) -> bytes:
        """What is in a worker's ring."""
        try:
            return self._port.drain(w)
        except OSError as error:
            raise damaged(self._workers[w], "the positions of its ring are impossible") from error

    def _take(self, w: int, nbytes: int) -> bytes:
        data = self._parts.pop(w, None) or bytearray()
        data += self._ring(w)
        if len(data) != nbytes:
            raise damaged(
                self._workers[w], f"its reply has {len(data)} bytes, {nbytes} were announced"
            )
        return bytes(data)

    def _read(self, worker: WorkerHandle, data: bytes, env_id: int | None = None) -> dict[str, Any]:
        try:
            part: dict[str, Any] = worker.channel.wire.loads(data)
            if worker.foreign:
                env_ids = worker.env_ids if env_id is None else [env_id]
                part = check_part(part, env_ids, self._num_leaves)
        except Exception as error:
            raise EnvringError(
                f"What {format_env_ids(worker.env_ids)} sent cannot be read in this process "
                f"({error}). Are their infos and observations of classes that this process can "
                "import?"
            ) from error
        return part
