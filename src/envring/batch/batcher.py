# SPDX-License-Identifier: MIT
"""Batches of numpy arrays from the envs of a pool: what vector and single envs have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from envring._foreign.envring_worker.data.actions import RESET
from envring.batch import messages
from envring.batch.actions import ActionSender
from envring.batch.arrivals import Arrivals
from envring.batch.envs_infos import EnvsInfos
from envring.batch.failures import raise_failures
from envring.batch.forks import ForkedCopies
from envring.batch.last_batch import LastBatch, refuse_restarts
from envring.batch.layout import Layout
from envring.batch.observer import Observer
from envring.batch.segment_spec import LEASE_BYTES, lay_out
from envring.batch.shared_obs import SharedObs
from envring.batch.space_data import restore_value
from envring.batch.spaces import VectorSpaces
from envring.core import _core
from envring.pool import publishing
from envring.pool.protocol import Pool, StepParts
from envring.pool.reply import Reply
from envring.transport.segment import create

_COMPLETE, _RANG = _core.COMPLETE, _core.RANG


class Batcher:
    """Makes batches of what the envs of a pool return, and commands of what a caller asks.

    Args:
        pool: steps the envs; it is not yet attached to a segment.
        spaces: single and batched spaces.
        copy: whether arrays that were handed out never change.
        slots: how many large batches may be handed out in place at a time; None: 256 MiB of them.
        add_info: an overridden `_add_info`, or None.

    Attributes:
        observer: is told of each step of a vector env, if it is not None.
        layout: of the single observation space.
        reader: hands out what a slot holds.
        leases: whether batches are handed out in place.
        envs_infos: reads the envs' infos.
        quiet: whether nothing is logged of what envs raise, beside raising it.
        since: time.monotonic() when the pool was attached.
    """

    def __init__(
        self,
        pool: Pool,
        spaces: VectorSpaces,
        copy: bool,
        slots: int | None,
        add_info: Callable[[dict[str, Any], dict[str, Any], int], dict[str, Any]] | None,
    ) -> None:
        """Lays the segment out and gives it to the workers."""
        self.pool = pool
        self.num_envs = n = pool.num_envs
        self.copy = copy
        self.observer: Observer | None = None
        self.quiet = False
        self._add_info = add_info
        self.layout = Layout(spaces.single_observation_space)
        action = Layout(spaces.single_action_space)
        spec = lay_out(pool, self.layout, action, slots, copy)
        self.segment = create(spec, pool.segment_file)
        plans = {"obs": self.layout.plan, "action": None if action.has_dynamic else action.plan}
        pool.attach(self.segment, plans)
        self.since = time.monotonic()
        publishing.publish_if_asked(pool, self.since)

        core = self.segment.core
        self.slots = _core.SlotPool(core, self.segment.back_slot)
        self._copies = ForkedCopies(self.slots)
        self.reader = _core.BatchReader(
            self.slots,
            [(offset, shape, dtype) for offset, shape, dtype in spec.obs_leaves if shape],
            spec.outcomes,
            LEASE_BYTES,
        )
        self.leases = copy and self.reader.leases
        self.last: LastBatch | None = None
        if pool.restarts is not None:
            self.last = pool.restarts.last = LastBatch(self)
        self.envs_infos = EnvsInfos(pool, self.segment, self.layout, spaces, add_info)
        self.actions = ActionSender(
            action, spaces.action_space, n, self.segment.action_slab, pool.send_actions
        )
        self._dynamic = self.layout.empty_dynamic(n)
        self._restores = self.layout.has_dynamic and pool.foreign
        self._copy_dynamic = copy and not pool.detaches
        # observations of dynamic spaces are collected, which the short way does not do
        self._path = None if self._dynamic else self._short_path()
        self._take_path = self._path if add_info is None else None
        self._arrivals: Arrivals | None = None
        self._shared = SharedObs(self.segment.slot_arrays(0)[0], own=self.last is not None)
        self._refresh_shared()
        self._whole_path: _core.StepPath | None = None  # of steps that are waited for
        if isinstance(self._take_path, _core.StepPath) and (copy or self.last is None):
            self._whole_path = self._take_path
            self._whole_path.build = None if self.layout.is_one_leaf else self.layout.build
            self._whole_path.shared = None if copy else self._shared.obs

    def _short_path(self) -> _core.StepPath | _core.RemotePath | None:
        actions = self.actions
        parts = StepParts(self.slots, self.reader, actions.exact, actions.ints, self.leases)
        return self.pool.short_path(parts)

    # -- batches ----------------------------------------------------------------------------

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]] | None:
        """Makes a step.

        Returns:
            What a vector env's step returns, if that is nothing but arrays and came soon. None: the
            step was started, and is to be waited for.

        Raises:
            ActionError: the actions do not fit; nothing was started.
        """
        path = self._whole_path
        if path is not None and self.observer is None:
            results = path.step(actions)
            if results is not False:
                return results
        self.start_step(actions)
        return None

    @property
    def is_stepping(self) -> bool:
        """Whether the last `step` started one whose results it did not take."""
        path = None if self.observer else self._whole_path
        return path is not None and path.is_under_way

    def start_step(self, actions: Any) -> None:
        """Starts a step; otherwise as `step`."""
        if self.observer is not None:
            self.observer.step_started()
        if self._path is not None:
            slot = self._path.start(actions)
            if slot >= 0:
                self.slots.batch = slot
                return
        code = self.actions.put(actions)
        if self.last is not None:
            self.last.in_one(self._path)
        self.slots.batch = slot = self.slots.take() if self.leases else self.slots.copied
        self.pool.start_step(slot, code)

    def start_step_into(self, actions: Any, slot: int, begin: Callable[[], None]) -> None:
        """Starts a step into a time slot; `begin` is called when the actions fit, before that."""
        if self.last is not None:
            self.last.in_one(self._path)
        code = self.actions.put(actions)
        begin()
        self.pool.start_step(slot, code)

    def step_is_done(self) -> bool:
        """Waits for a short time; whether the step under way is complete. If not, call `wait`."""
        if self._path is None:
            return False
        state = self._path.wait()
        if state == _RANG:
            self.pool.drain()
        return state == _COMPLETE

    def take_step(self) -> tuple[Any, Any, Any, Any] | None:
        """Observations, rewards, terminations and truncations of a complete step.

        None if the batch has more than these: then `collect` has it all.
        """
        path, observer, began = self._take_path, self.observer, 0
        if path is None:
            return None
        if observer is not None:
            began = time.monotonic_ns()
        outcomes = path.take(self.slots.batch)
        if outcomes is None:
            return None
        if self.copy:
            observations = self.layout.build(self.reader.observations(self._take_slot()))
        else:
            observations = self._shared_batch()
        if observer is not None:
            observer.arrays_taken(time.monotonic_ns() - began)
        rewards, terminations, truncations = outcomes
        return observations, rewards, terminations, truncations

    def take_single_step(self) -> tuple[Any, float, bool, bool] | None:
        """As `take_step`, of env 0 alone, copied."""
        if self._path is None:
            return None
        outcomes = self._path.take_first(self.slots.batch)
        if outcomes is None:
            return None
        if self._dynamic or self.last is not None:
            return self.single_observation(None), *outcomes
        slot = self._take_slot()
        leaves = self.reader.first(slot)
        self.slots.give_back(slot)
        return self.layout.build(leaves), *outcomes

    def start_reset(
        self,
        seeds: Sequence[int | None],
        options: Any,
        mask: Any,
        per_env: bool = False,
        into: int = 0,
    ) -> None:
        """Starts a reset, perhaps into one of the time slots; see `messages.reset`."""
        if self.last is not None:
            self.last.in_one(self._path)
        slot = into or (self.slots.take() if self.leases else self.slots.copied)
        plain = options is None and mask is None and not any(seed is not None for seed in seeds)
        try:
            if plain:
                self.pool.start_step(slot, RESET)
            else:
                spans = self.pool.spans
                self.pool.start(messages.reset(spans, slot, seeds, options, mask, per_env))
        except BaseException:
            self.slots.give_back(slot * (not into))
            raise
        self.slots.batch = slot * (not into)

    def arrivals(self) -> Arrivals:
        """Its envs, each on its own. Only while no batch is under way."""
        if self._arrivals is None:
            if self.layout.has_dynamic:
                refuse_restarts(self.pool, "send and recv of observations without a fixed size")
            self._arrivals = Arrivals(self)
        return self._arrivals

    def block_path(self) -> None:
        """Has the next step take the long way."""
        if self._path is not None:
            self._path.block()

    def start_call(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        chosen: Sequence[int] | None = None,
    ) -> None:
        """Starts a call of every env's attribute, or of those chosen by their ids."""
        self.pool.start(messages.call(self.pool.spans, name, args, kwargs, chosen))

    def start_takes(self, name: str, keyword: str) -> None:
        """Starts asking every env whether its method takes a keyword."""
        self.pool.start([("takes", name, keyword)] * len(self.pool.spans))

    def start_set_attr(
        self, name: str, values: Sequence[Any], chosen: Sequence[int] | None = None
    ) -> None:
        """Starts setting every env's attribute, or that of those chosen by their ids."""
        self.pool.start(messages.set_attr(self.pool.spans, name, values, chosen))

    @property
    def has_infos(self) -> bool:
        """Whether the batch has infos; an overridden `_add_info` is called even for empty ones."""
        return self.pool.any_info or self._add_info is not None

    def wait(self, timeout: float | None) -> bool:
        """Waits for the batch under way; False when time was up."""
        if timeout is None:
            return self.pool.wait(None)
        return self.pool.wait(time.monotonic() + timeout)

    def discard(self) -> None:
        """Forgets a complete batch that its caller gave up."""
        reply = self.pool.collect()
        self.slots.give_back(self._take_slot())
        if reply is not None and reply.odd:
            self.envs_infos.learn(reply)

    def collect(self) -> Reply | None:
        """What the batch has beyond arrays; raises what an env raised.

        Raises:
            Exception: an env's own exception, with the traceback of its worker as cause.
        """
        reply = self.pool.collect()
        if reply is not None and reply.failures:
            self.slots.give_back(self._take_slot())
            raise_failures(reply, self.quiet)
        return reply

    def observations(self, reply: Reply | None) -> Any:
        """The batch's observations, in the space's structure."""
        observer, began = self.observer, 0
        if observer is not None:
            began = time.monotonic_ns()
        if self.copy:
            arrays = self.reader.observations(self._take_slot())
            if self._dynamic:
                if reply is not None:
                    self._take_dynamic(reply)
                arrays = self._leaf_values(arrays)
            observations = self.layout.build(arrays)
        else:
            if reply is not None and reply.dynamic:
                self._take_dynamic(reply)
                self._refresh_shared()
            observations = self._shared_batch()
        if observer is not None:
            observer.arrays_taken(time.monotonic_ns() - began)
        return observations

    def single_observation(self, reply: Reply | None) -> Any:
        """Env 0's observation alone, copied."""
        slot = self._take_slot()
        if reply is not None:
            self._take_dynamic(reply)
        if self.last is not None:
            self.reader.observations(slot)  # it stays until the next one is handed out
            return self.observation_in(slot, 0)
        row = self.observation_in(slot, 0)
        self.slots.give_back(slot)
        return row

    def observation_in(self, slot: int, env_id: int) -> Any:
        """An env's observation, copied out of a slot."""
        arrays = self.segment.slot_arrays(slot)[0]
        return self.layout.row(self._leaf_values(arrays) if self._dynamic else arrays, env_id)

    def _take_slot(self) -> int:
        """The batch's slot. Whoever takes it hands it out or gives it back.

        Ctrl-C in between loses a slot; the other order could hand one out twice.
        """
        slots = self.slots
        slot, slots.batch = slots.batch, 0
        return slot

    def outcomes(self) -> tuple[Any, Any, Any]:
        """(rewards, terminations, truncations) of the batch. Before `observations`."""
        if self.observer is None:
            return self.reader.outcomes(self.slots.batch)
        began = time.monotonic_ns()
        outcomes = self.reader.outcomes(self.slots.batch)
        self.observer.arrays_taken(time.monotonic_ns() - began)
        return outcomes

    def infos(self, reply: Reply | None) -> dict[str, Any]:
        """The batch's infos as Gymnasium batches them."""
        return self.envs_infos.of_all(reply) if self.has_infos else {}

    def infos_of_each(self, reply: Reply | None) -> list[dict[str, Any]]:
        """The batch's infos, one per env, as the envs returned them. Not of vector envs."""
        return self.envs_infos.of_each(reply)

    def _take_dynamic(self, reply: Reply) -> None:
        self.slots.elsewhere += 1
        for index, values in reply.dynamic.items():
            if self._restores:
                space = self.layout.leaves[index].space
                values = {env_id: restore_value(space, value) for env_id, value in values.items()}
            batch = [values.get(env_id) for env_id in range(self.num_envs)]
            if self._copy_dynamic:
                batch = deepcopy(batch)
            self._dynamic[index] = self.layout.batch_dynamic(index, batch, self._dynamic[index])

    def _leaf_values(self, arrays: Sequence[Any]) -> list[Any]:
        """One value per leaf, arrays holding those of the fixed ones (or None between)."""
        given = iter([array for array in arrays if array is not None])
        return [
            next(given) if leaf.fixed else self._dynamic[leaf.index] for leaf in self.layout.leaves
        ]

    def _shared_batch(self) -> Any:
        """What copy=False hands out."""
        if self.last is not None:
            slot = self._take_slot()
            self._shared.copy(self.segment.slot_arrays(slot)[0])
            self.slots.copied_out(slot)
        return self._shared.obs

    def _refresh_shared(self) -> None:
        self._shared.refresh(self.layout.build(self._leaf_values(self._shared.arrays)))

    def close(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Ends the workers. Arrays that were handed out stay readable."""
        self.pool.close(timeout, terminate)
        self.segment.close_fd()

    def abandon(self) -> None:
        """Ends the workers of an env that nobody closed."""
        self.pool.abandon()
