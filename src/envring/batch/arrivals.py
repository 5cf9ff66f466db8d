# SPDX-License-Identifier: MIT
"""Batches of those envs that are done: what `send` and `recv` are made of."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector.utils import create_empty_array

from envring._foreign.envring_worker.data.actions import RESET
from envring.batch import messages
from envring.batch.failures import raise_failures
from envring.batch.space_data import restore_value
from envring.core import _core
from envring.pool.flow import EnvIds, Flow, WorkerFlow
from envring.pool.mixed_flow import MixedFlow
from envring.pool.remote_flow import RemoteFlow
from envring.pool.reply import Reply
from envring.pool.whole_flow import WholeFlow

if TYPE_CHECKING:
    from envring.batch.batcher import Batcher

Batch = tuple[Any, Any, Any, Any, Any]


@dataclass
class _Slot:
    """A slot that whole slices were sent into.

    Attributes:
        left: envs whose results were not taken.
        lease: on it, once arrays of it were handed out.
    """

    left: int
    lease: Any = None


class Arrivals:
    """Sends envs of a batcher for steps and resets, and makes batches of those that are done.

    Rows that are handed out in place are in slots which were sent for whole slices; all other envs
    store in slot 0, where each has a row of its own, which is copied before the env is sent again.
    """

    def __init__(self, batcher: Batcher) -> None:
        """Begins with no env out."""
        self._batcher = batcher
        self._pool = batcher.pool
        self._flow: Flow = batcher.pool.flow()
        if batcher.pool.vectors is not None:
            self._flow = WholeFlow(self._flow, batcher.pool.vectors)
        self._slot_of = np.zeros(batcher.num_envs, np.uint32)
        self._last = batcher.last
        self._kept: dict[int, Any] = {}  # env id -> lease on its last row
        self._dynamic: dict[int, dict[int, Any]] = {}  # by leaf, last values by env id
        self._slots: dict[int, _Slot] = {}
        self._slices = dict(batcher.pool.spans)
        self._slice_sizes = {end - first for first, end in batcher.pool.spans}

    def last_slots(self, first: int, end: int) -> list[int]:
        """Where the last rows of a run of envs are, those that were not received among them."""
        assert self._last is not None
        assert isinstance(self._flow, (WorkerFlow, MixedFlow, RemoteFlow, WholeFlow))
        slots: list[int] = self._last.slot_of[first:end].tolist()
        done = set(self.among_out(np.arange(first, end, dtype=np.int32)))
        for env_id in done.difference(self._flow.owing()):
            slots[env_id - first] = int(self._slot_of[env_id])
        return slots

    @property
    def num_out(self) -> int:
        """How many envs were sent and not received."""
        return self._flow.num_out

    @property
    def num_done(self) -> int:
        """How many envs that are out are done, without waiting."""
        return self._flow.ready()

    def among_out(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs that were sent and not received."""
        return self._flow.among_out(env_ids)

    # -- sending ----------------------------------------------------------------------------

    def send(self, actions: Any, env_ids: EnvIds, batch_size: int) -> None:
        """Has envs stepped, none of which is out.

        Args:
            actions: one per env, in the order of env_ids.
            env_ids: which envs.
            batch_size: how many are likely to be received at a time.

        Raises:
            ActionError: the actions do not fit; nothing was sent.
        """
        pool = self._pool

        def tell(items: Sequence[Any]) -> None:
            pool.tell(messages.some_actions(pool.spans, env_ids.tolist(), items))

        code = self._batcher.actions.put_some(actions, env_ids.tolist(), tell)
        self._send(np.sort(env_ids), code, batch_size)

    def send_run(self, actions: Any, env_ids: EnvIds) -> None:
        """`send` of envs in ascending order, those of one worker being done together."""

        def tell(items: Sequence[Any]) -> None:
            self._pool.tell(messages.some_actions(self._pool.spans, env_ids.tolist(), items))

        code = self._batcher.actions.put_some(actions, env_ids, tell)
        self._send_into(env_ids, 0, code, True)

    def short_path(self, env_ids: EnvIds) -> _core.PartPath | None:
        """The short way through steps of the same envs, or None if there is none."""
        exact = self._batcher.actions.exact
        if exact is None or self._batcher.layout.has_dynamic:
            return None
        return self._flow.short_path(self._batcher.reader, exact, env_ids)

    def leave_path(self, env_ids: EnvIds) -> None:
        """Goes on with a step of these envs that was started on the short way."""
        self._slot_of[env_ids] = 0

    def build(self, leaves: Sequence[Any]) -> Any:
        """Observations of fixed size, in the space's structure."""
        return self._batcher.layout.build(leaves)

    def reset(
        self, env_ids: EnvIds, given: Mapping[int, tuple[int | None, Any]], batch_size: int
    ) -> None:
        """Has envs reset, none of which is out; `given` has seeds and options of some."""
        if given:
            self._pool.tell(messages.reset_arguments(self._pool.spans, given))
        self._send(np.sort(env_ids), RESET, batch_size)

    def reset_run(self, env_ids: EnvIds, given: Mapping[int, tuple[int | None, Any]]) -> None:
        """`reset` of envs in ascending order, whose rows stay until they are sent again."""
        if given:
            self._pool.tell(messages.reset_arguments(self._pool.spans, given))
        self._send_into(env_ids, 0, RESET, False)

    def has_last_rows(self, env_ids: EnvIds, elsewhere: int) -> bool:
        """Whether the last rows of envs, none of which is out, are at hand: see `with_last_rows`.

        Args:
            env_ids: which envs.
            elsewhere: `elsewhere` of the slots, when the envs were received.
        """
        leaves = [leaf.index for leaf in self._batcher.layout.leaves if not leaf.fixed]
        if any(env_id not in self._dynamic.get(i, {}) for i in leaves for env_id in env_ids):
            return False
        if self._last is not None:
            return bool((self._last.by_env()[env_ids] >= 0).all())
        return self._batcher.slots.elsewhere == elsewhere

    def with_last_rows(self, env_ids: EnvIds) -> Any:
        """The last observations of envs, fresh: of those just received, and of others."""
        slots = np.zeros(self._batcher.num_envs, np.uint32)
        if self._last is not None:
            slots[env_ids] = self._last.by_env()[env_ids]
        return self._build(self._batcher.reader.gathered(env_ids, slots), env_ids, None)

    def _send(self, env_ids: EnvIds, code: int, batch_size: int) -> None:
        slot, together = 0, False
        if self._batcher.leases and all(batch_size % size == 0 for size in self._slice_sizes):
            whole = self._are_slices(env_ids)
            slot = self._batcher.slots.take() if whole else 0
            slot *= slot != self._batcher.slots.copied
            together = whole and slot > 0
        if slot:
            self._slots[slot] = _Slot(len(env_ids))
        self._send_into(env_ids, slot, code, together)

    def _send_into(self, env_ids: EnvIds, slot: int, code: int, together: bool) -> None:
        """Sends envs into a slot; where restarts need the last rows, not into theirs."""
        parts = [(env_ids, slot)]
        if self._last is not None:
            in_first = self._last.by_env()[env_ids] == 0
            if slot == 0:
                parts = [(env_ids[~in_first], 0), (env_ids[in_first], self._batcher.slots.spare)]
        for part, into in parts:
            if len(part):
                self._slot_of[part] = into
                self._flow.send(part, into, code, together)

    def _are_slices(self, env_ids: EnvIds) -> bool:
        """Whether the envs, in ascending order, are those of whole slices."""
        at, ids = 0, env_ids.tolist()
        while at < len(ids):
            end = self._slices.get(ids[at])
            if end is None or ids[at : at + end - ids[at]] != list(range(ids[at], end)):
                return False
            at += end - ids[at]
        return True

    # -- receiving --------------------------------------------------------------------------

    def wait(self, count: int, timeout: float | None) -> bool:
        """Waits until so many envs are done; False when time was up."""
        return self._flow.wait(count, None if timeout is None else time.monotonic() + timeout)

    def wait_for(self, env_ids: EnvIds, timeout: float | None) -> bool:
        """Waits until these envs are done, all of which are out; False when time was up."""
        flow = self._flow
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            ready = flow.ready()  # first: what comes meanwhile is then missed in neither number
            missing = len(env_ids) - flow.done_among(env_ids)
            if missing == 0:
                return True
            if not flow.wait(ready + missing, deadline):
                return flow.done_among(env_ids) == len(env_ids)

    def take(self, count: int) -> Batch:
        """A batch of the envs that have been done for the longest, in the order of their ids.

        Raises:
            Exception: what an env raised. Only those that raised are taken then.
        """
        return self._batch(np.sort(self._flow.take(count)))

    def take_these(self, env_ids: EnvIds) -> Batch:
        """A batch of these envs, which are done.

        Raises:
            Exception: what an env raised. All are taken, as those of a step.
        """
        return self._batch(np.sort(self._flow.take_these(env_ids)), keeps_others=False)

    def _batch(self, env_ids: EnvIds, keeps_others: bool = True) -> Batch:
        failed = self._flow.failed(env_ids)
        if failed:
            if keeps_others:
                self._flow.put_back(np.setdiff1d(env_ids, failed).astype(np.int32))
                env_ids = np.array(failed, np.int32)
            self._leave_slots(env_ids)
            reply = self._flow.collect(env_ids.tolist())
            assert reply is not None
            raise_failures(reply, self._batcher.quiet)
        reply = self._flow.collect(env_ids.tolist())
        try:
            infos = self._batcher.envs_infos.of(env_ids, reply)
        except BaseException:  # infos that do not batch: the envs are taken all the same
            self._leave_slots(env_ids)
            raise
        observations, rewards, terminations, truncations = self._arrays(env_ids, reply)
        return observations, rewards, terminations, truncations, infos

    def _arrays(self, env_ids: EnvIds, reply: Reply | None) -> tuple[Any, Any, Any, Any]:
        reader, slots = self._batcher.reader, self._slot_of[env_ids]
        slot = int(slots[0])
        first, end = int(env_ids[0]), int(env_ids[-1]) + 1
        if slot in self._slots and end - first == len(env_ids) and (slots == slot).all():
            held = self._slots[slot]
            if held.lease is None:
                held.lease = reader.leased(slot)
            leaves = reader.rows(held.lease, first, end)
        else:
            leaves = reader.gathered(env_ids, self._slot_of)
        rewards, terminations, truncations = reader.outcomes_of(env_ids, self._slot_of)
        if self._last is not None:
            self._keep(env_ids, slots.tolist())
        self._leave_slots(env_ids)
        return self._build(leaves, env_ids, reply), rewards, terminations, truncations

    def _keep(self, env_ids: EnvIds, slots: Sequence[int]) -> None:
        """Keeps these rows until the envs have others."""
        assert self._last is not None
        self._last.by_env()[env_ids] = slots
        for env_id, slot in zip(env_ids.tolist(), slots, strict=True):
            held = self._slots.get(slot)
            if held is None:
                self._kept.pop(env_id, None)
                continue
            if held.lease is None:
                held.lease = self._batcher.reader.leased(slot)
            self._kept[env_id] = held.lease

    def _leave_slots(self, env_ids: EnvIds) -> None:
        """Notes that the envs' rows are no longer needed where they are."""
        if not self._slots:
            return
        slots, counts = np.unique(self._slot_of[env_ids], return_counts=True)
        for slot, count in zip(slots.tolist(), counts.tolist(), strict=True):
            held = self._slots.get(slot)
            if held is None:
                continue
            held.left -= count
            if held.left == 0:
                del self._slots[slot]
                if held.lease is None:
                    self._batcher.slots.give_back(slot)

    def _build(self, leaves: Sequence[Any], env_ids: EnvIds, reply: Reply | None) -> Any:
        layout = self._batcher.layout
        if not layout.has_dynamic:
            return layout.build(leaves)
        given = iter(leaves)
        values = []
        for leaf in layout.leaves:
            if leaf.fixed:
                values.append(next(given))
                continue
            came = {} if reply is None else reply.dynamic.get(leaf.index, {})
            last = self._dynamic.setdefault(leaf.index, {})
            for env_id, value in came.items():
                last[env_id] = restore_value(leaf.space, value) if self._pool.foreign else value
            batch = [last.get(env_id) for env_id in env_ids.tolist()]
            empty = create_empty_array(leaf.space, n=len(batch))
            values.append(layout.batch_dynamic(leaf.index, batch, empty))
        return layout.build(values)
