# SPDX-License-Identifier: MIT
"""The `Flow` of a RemotePool: SOME asks for envs, a DONE answers for those that are done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from envring._foreign.envring_worker.data import actions as codes
from envring.errors import CodecError, UnsendableError, WireError
from envring.pool.flow import DoneQueue, EnvIds
from envring.pool.mirror import pack_ids, unpack_ids, which_of
from envring.pool.remote_data import read_reply
from envring.pool.reply import Reply
from envring.transport import codec, frames
from envring.transport.frames import Frame

if TYPE_CHECKING:
    from envring.pool.remote import RemotePool


class RemoteFlow(DoneQueue):
    """The `Flow` of a RemotePool.

    The rows of a DONE are copied once: which they are stands before them in the same frame.
    """

    def __init__(self, pool: RemotePool) -> None:
        """Begins with no env out."""
        super().__init__()
        self._pool = pool
        self._first, self._end = pool.spans[0]
        self._slots = np.zeros(pool.num_envs, np.intp)
        self._is_awaited = np.zeros(pool.num_envs, np.bool_)
        self._num_awaited = 0
        self._replies: dict[int, Reply] = {}
        self._codes = np.zeros(pool.num_envs, np.int64)  # of what was sent

    @property
    def num_out(self) -> int:
        """How many envs are out."""
        return self._num_awaited + len(self._done)

    def among_out(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs that are out."""
        first, done = self._first, set(self._done)
        return [
            env_id
            for env_id in env_ids.tolist()
            if env_id in done or (first <= env_id < self._end and self._is_awaited[env_id - first])
        ]

    def fileno(self) -> int:
        """The descriptor of the connection."""
        return self._pool.fileno()

    # -- sending ----------------------------------------------------------------------------

    def send(self, env_ids: EnvIds, slot: int, code: int, together: bool) -> None:
        """Has envs stepped or reset; see `Flow`."""
        pool = self._pool
        pool.raise_if_dead()
        pool.leave_path()
        envs = env_ids - self._first
        told = pool.take_told(code)
        if code == codes.SLAB:
            rows = pool.action_rows.some(which_of(envs))
        else:
            rows = [] if told is None else [memoryview(told)]
        self._slots[envs], self._codes[envs] = slot, code
        self._await(envs, True)
        try:
            pool.send(frames.SOME, [code.to_bytes(4, "little"), pack_ids(envs), *rows])
        except UnsendableError:  # nothing was sent
            self._await(envs, False)
            raise

    def _await(self, envs: EnvIds, awaited: bool) -> None:
        self._is_awaited[envs] = awaited
        self._num_awaited = int(np.count_nonzero(self._is_awaited))

    def owing(self) -> list[int]:
        """The envs that owe results."""
        return [int(env) + self._first for env in np.flatnonzero(self._is_awaited)]

    def owing_by_code(self) -> dict[int, EnvIds]:
        """The same, counted from the session's first env, by how they were sent."""
        awaited = np.flatnonzero(self._is_awaited).astype(np.int32)
        codes_of = self._codes[awaited]
        return {code: awaited[codes_of == code] for code in np.unique(codes_of).tolist()}

    # -- receiving --------------------------------------------------------------------------

    def ready(self) -> int:
        """How many envs are done, without waiting.

        Raises:
            HostLost: the connection ended, or the host is silent.
            WorkerDied: a worker there ended.
            WorkerTimeout: workers there took longer than they may.
        """
        while self._num_awaited and self._receive(time.monotonic()):
            pass
        return len(self._done)

    def wait(self, count: int, deadline: float | None) -> bool:
        """Waits until so many envs are done; raises as `ready`."""
        while len(self._done) < count:
            if not self._receive(deadline):
                return False
        return True

    def _receive(self, deadline: float | None) -> bool:
        """Takes a frame; False when time was up."""
        pool = self._pool
        pool.raise_if_dead()
        frame = pool.receive(deadline)
        if frame is None:
            return False
        if frame.head.kind == frames.DONE:
            try:
                self._store(frame)
            except (WireError, CodecError) as error:
                raise pool.unreadable(error) from error
        elif frame.head.kind != frames.ALIVE:
            raise pool.unexpected()
        return True

    def _store(self, frame: Frame) -> None:
        """Stores what some envs gave where it belongs."""
        pool, flags = self._pool, frame.head.flags
        envs, data = unpack_ids(memoryview(frame.body), pool.num_envs)
        if not self._is_awaited[envs].all() or not flags & frames.ARRAYS:
            raise WireError("an env is done that was not sent")
        data = pool.mirror.unpack_some(flags, data, envs, self._slots[envs])
        env_ids = (envs + self._first).tolist()
        if flags & frames.REPLY:
            reply = read_reply(codec.loads(bytes(data)), pool.env_ids, pool.num_leaves)
            replies = reply.by_env()
            if not replies.keys() <= set(env_ids):
                raise WireError("a reply is of envs that are not done")
            pool.mirror.set_odd(reply.odd)
            self._replies |= replies
        elif data:
            raise WireError(f"{len(data)} bytes are left over")
        self._await(envs, False)
        self._done += env_ids
        if not self._num_awaited:
            pool.pause_path()

    def failed(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs whose results are exceptions."""
        replies = self._replies
        return [e for e in env_ids.tolist() if e in replies and replies[e].failures]

    def collect(self, env_ids: Sequence[int]) -> Reply | None:
        """What taken envs have beyond arrays, once."""
        found = [self._replies.pop(env_id) for env_id in env_ids if env_id in self._replies]
        return Reply.merged(found) if found else None
