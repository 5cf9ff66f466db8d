# SPDX-License-Identifier: MIT
"""Parts of a vector env: stepped in turn, each while the caller thinks about another."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Generic

import numpy as np
import numpy.typing as npt
from gymnasium.core import ActType, ObsType, RenderFrame
from gymnasium.error import (
    AlreadyPendingCallError,
    ClosedEnvironmentError,
    NoAsyncCallError,
)
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from envring.api import reset_arguments
from envring.api.sending import SendRecv, Step
from envring.core import _core
from envring.errors import EnvringError, format_env_ids
from envring.pool.flow import EnvIds


class Part(VectorEnv[ObsType, ActType, np.ndarray], Generic[ObsType, ActType]):
    """Some envs of a vector env, as a vector env of their own.

    It has `reset`, `step`, `call` and their `_async` and `_wait`, as the whole has. Its rows are
    its envs in the order of their ids in the whole; errors name these ids.

    Attributes:
        env_ids: their ids in the whole: int32, ascending.
    """

    def __init__(self, whole: Splitting[ObsType, ActType], env_ids: EnvIds) -> None:
        """`RingVectorEnv.split` makes parts."""
        self._whole = whole
        self._pending: str | None = None
        self._path = whole._part_path(env_ids)
        self._is_short = False  # the step that is pending was started on the short way
        self._resetting: EnvIds = env_ids  # the envs that a reset was started of
        self._elsewhere = 0  # of the slots, when the part's envs were received
        self.env_ids = env_ids
        self.num_envs = n = len(env_ids)
        self.single_observation_space = whole.single_observation_space
        self.single_action_space = whole.single_action_space
        self.observation_space = batch_space(whole.single_observation_space, n)
        self.action_space = batch_space(whole.single_action_space, n)
        self.metadata = whole.metadata
        self.render_mode = whole.render_mode
        self.spec = whole.spec

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Any = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Resets the part's envs, or those in `options["reset_mask"]`; see `RingVectorEnv.reset`.

        Other parts may be pending meanwhile.
        """
        self.reset_async(seed=seed, options=options)
        return self.reset_wait()

    def reset_async(
        self, seed: int | Sequence[int | None] | None = None, options: Any = None
    ) -> None:
        """Starts a reset; `reset_wait` gives its results.

        Args:
            seed: one seed s, which gives the part's env i the seed s + i; or one per env; or None.
            options: as for `RingVectorEnv.reset`; a reset_mask is bool (num_envs,) of the part.

        Raises:
            AlreadyPendingCallError: another call of this part is pending.
            ValueError: wrong number of seeds or options, or reset_mask of a wrong shape or all
                False.
            TypeError: reset_mask is not a bool array.
            EnvringError: a reset_mask leaves envs alone whose last observations came by a call of
                the whole, and not of this part.
        """
        self._assert_idle("reset_async")
        seeds = reset_arguments.seeds(seed, self.num_envs)
        per_env = self._whole.options_per_env and isinstance(options, (list, tuple))
        mask, rest = reset_arguments.split(options, self.num_envs, per_env)
        self._resetting = self._whole._reset_part(
            self.env_ids, seeds, rest if per_env else [rest] * self.num_envs, mask, self._elsewhere
        )
        self._pending = "reset"

    def reset_wait(self, timeout: float | None = None) -> tuple[ObsType, dict[str, Any]]:
        """Waits for a reset; see `step_wait` for exceptions."""
        observations, _, _, _, infos = self._wait("reset", timeout)
        return observations, infos

    def step(self, actions: ActType) -> Step[ObsType]:
        """Steps the part's envs; see `RingVectorEnv.step`."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: ActType) -> None:
        """Starts a step; `step_wait` gives its results.

        Raises:
            AlreadyPendingCallError: another call of this part is pending.
            ActionError: the actions do not fit; no env was stepped.
        """
        self._assert_idle("step_async")
        self._is_short = self._whole._send_part(actions, self.env_ids, self._path)
        self._pending = "step"

    def step_wait(self, timeout: float | None = None) -> Step[ObsType]:
        """Waits for a step.

        Raises:
            NoAsyncCallError: there was no `step_async`.
            multiprocessing.TimeoutError: it took too long; it can be waited for again.
            WorkerDied: a worker ended.
        """
        return self._wait("step", timeout)

    def _wait(self, name: str, timeout: float | None) -> Step[ObsType]:
        if self._pending != name:
            raise NoAsyncCallError(
                f"Calling `{name}_wait` without any prior call to `{name}_async`.", name
            )
        path = self._path if self._is_short and name == "step" and timeout is None else None
        sent = self._resetting if name == "reset" else self.env_ids
        try:
            batch = self._whole._recv_part(sent, timeout, path)
            if sent is not self.env_ids:
                batch = self._whole._with_others(batch, sent, self.env_ids)
        except multiprocessing.TimeoutError:
            raise
        except BaseException:
            self._pending = None
            raise
        self._pending = None
        self._elsewhere = self._whole._elsewhere()
        return batch

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of the part's envs, or gets an attribute, while no part is pending."""
        self._assert_idle("call")
        return self._whole._call_part(self.env_ids.tolist(), name, args, kwargs)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of every env of the part."""
        self._assert_idle("call")
        return self._whole.get_attr(name, self.env_ids)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of every env of the part; see `RingVectorEnv.set_attr`."""
        self._assert_idle("set_attr")
        self._whole.set_attr(name, values, self.env_ids)

    def render(self) -> tuple[RenderFrame, ...] | None:
        """A frame, or list of frames, per env."""
        return self.call("render")

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """Seeds of the envs' generators, one per env."""
        return self.get_attr("np_random_seed")

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Copies of the envs' generators, one per env."""
        return self.get_attr("np_random")

    def _assert_idle(self, operation: str) -> None:
        if self.closed:
            raise ClosedEnvironmentError("Trying to operate on a part, after a call to `close()`.")
        if self._pending is not None:
            raise AlreadyPendingCallError(
                f"Calling `{operation}` while waiting for a pending call to `{self._pending}` to "
                "complete.",
                self._pending,
            )

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the whole, if this is the last of its parts."""
        self.closed = True
        self._whole._part_was_closed(**kwargs)


def divide(spans: Sequence[tuple[int, int]], count: int) -> list[EnvIds]:
    """Env ids of each part: of every slice an equal share, so that all workers step each part.

    Raises:
        ValueError: there are not so many envs.
    """
    num_envs = sum(end - first for first, end in spans)
    if not 1 <= count <= num_envs:
        raise ValueError(f"{num_envs} envs cannot be split into {count} parts.")
    parts: list[list[int]] = [[] for _ in range(count)]
    turn = 0  # slices that do not divide evenly give their rest to another part each time
    for first, end in spans:
        size, rest = divmod(end - first, count)
        shares = [size] * count
        for _ in range(rest):
            shares[turn % count] += 1
            turn += 1
        at = first
        for part, share in zip(parts, shares, strict=True):
            part += range(at, at + share)
            at += share
    return [np.array(sorted(part), np.int32) for part in parts]


def spread(infos: dict[str, Any], rows: npt.NDArray[np.intp], count: int) -> dict[str, Any]:
    """Infos of some rows as those of `count`: the others have none."""
    spread_out: dict[str, Any] = {}
    for key, value in infos.items():
        if isinstance(value, dict):
            spread_out[key] = spread(value, rows, count)
            continue
        nothing = None if value.dtype == object else 0
        spread_out[key] = np.full((count, *value.shape[1:]), nothing, value.dtype)
        spread_out[key][rows] = value
    return spread_out


class Splitting(SendRecv[ObsType, ActType], Generic[ObsType, ActType]):
    """A vector env that can be divided into parts."""

    _open_parts = 0

    def split(self, count: int = 2) -> tuple[Part[ObsType, ActType], ...]:
        """Divides the envs into parts, each a vector env that all workers step.

        While the caller computes the actions of one part, the others are stepped: double buffering.
        The parts are closed one by one; the last one closes this vector env.

        Args:
            count: number of parts.

        Returns:
            The parts. Each has an equal share of each worker's envs, in the order of their ids.

        Raises:
            ValueError: there are not so many envs, or vector envs.
            EnvringError: they are split already.
        """
        with self._entered() as batcher:
            self._assert_idle("split")
            self._settle(batcher)
            if self._open_parts:
                raise EnvringError(
                    "These envs are split already. Use the parts that `split` gave, or make "
                    "another vector env."
                )
            shares = self._shares(batcher.pool.spans, count)
            self._open_parts = count
            return tuple(Part(self, env_ids) for env_ids in shares)

    def _shares(self, spans: Sequence[tuple[int, int]], count: int) -> list[EnvIds]:
        vectors = self._vectors
        if vectors is None:
            return divide(spans, count)
        if not 1 <= count <= len(vectors):
            raise ValueError(
                f"{len(vectors)} vector envs cannot be split into {count} parts, as each is "
                "stepped as a whole."
            )
        numbers = {first: number for number, (first, _) in enumerate(vectors)}
        begins = [*(numbers[first] for first, _ in spans), len(vectors)]
        parts = divide(list(pairwise(begins)), count)
        return [np.concatenate([np.arange(*vectors[v], dtype=np.int32) for v in p]) for p in parts]

    def _part_path(self, env_ids: EnvIds) -> _core.PartPath | None:
        assert self._batcher is not None
        return self._batcher.arrivals().short_path(env_ids)

    def _send_part(self, actions: Any, env_ids: EnvIds, path: _core.PartPath | None) -> bool:
        """`send` of a part; whether it was started on the short way."""
        batcher = self._enter()
        try:
            arrivals = self._arrivals(batcher, "step_async")
            if path is not None and path.start(actions):
                self._out = True
                return True
            self._assert_not_out(arrivals, env_ids, "step_async")
            try:
                arrivals.send_run(actions, env_ids)
            finally:
                self._out = arrivals.num_out > 0
            return False
        finally:
            self._owner = None

    def _reset_part(
        self, env_ids: EnvIds, seeds: Sequence[int | None], options: Any, mask: Any, elsewhere: int
    ) -> EnvIds:
        """Starts a reset of a part, or of where the mask is True; returns the envs it is of."""
        with self._entered() as batcher:
            arrivals = self._arrivals(batcher, "reset_async")
            self._assert_not_out(arrivals, env_ids, "reset_async")
            given = dict(zip(env_ids.tolist(), zip(seeds, options, strict=True), strict=True))
            sent = env_ids
            if mask is not None:
                sent = self._masked(env_ids, mask, given)
            others = np.setdiff1d(env_ids, sent)
            if len(others) and not arrivals.has_last_rows(others, elsewhere):
                raise EnvringError(
                    f"The last observations of {format_env_ids(others.tolist())}, which "
                    "reset_mask leaves alone, did not come by a step or reset of this part. Reset "
                    "all of it, or give the mask to `reset` of the whole."
                )
            told = {i: given[i] for i in sent.tolist() if given[i] != (None, None)}
            try:
                arrivals.reset_run(sent, told)
            finally:
                self._out = arrivals.num_out > 0
            return sent

    def _masked(self, env_ids: EnvIds, mask: Any, given: dict[int, Any]) -> EnvIds:
        """The envs to reset: of vector envs all rows, whose options have their part of the mask."""
        if self._vectors is None:
            return env_ids if mask.all() else env_ids[mask]
        chosen = np.zeros(len(mask), bool)
        for first, end in self._vectors:
            rows = (env_ids >= first) & (env_ids < end)
            if mask[rows].any():
                chosen |= rows
                for i in env_ids[rows].tolist():
                    seed, options = given[i]
                    given[i] = seed, {**(options or {}), "reset_mask": mask[rows]}
        return env_ids if chosen.all() else env_ids[chosen]

    def _with_others(self, batch: Step[ObsType], sent: EnvIds, env_ids: EnvIds) -> Step[ObsType]:
        """A reset's batch of some envs of a part, with the last observations of the others."""
        with self._entered() as batcher:
            rows = np.searchsorted(env_ids, sent)
            observations = batcher.arrivals().with_last_rows(env_ids)
            infos = spread(batch[4], rows, len(env_ids))
            outcomes = [np.zeros(len(env_ids), each.dtype) for each in batch[1:4]]
            return observations, *outcomes, infos

    def _elsewhere(self) -> int:
        assert self._batcher is not None
        return self._batcher.slots.elsewhere

    def _recv_part(
        self, env_ids: EnvIds, timeout: float | None, path: _core.PartPath | None
    ) -> Step[ObsType]:
        """`recv` of a part: of exactly these envs, without `env_id` in the infos."""
        batcher = self._enter()
        try:
            arrivals = self._arrivals(batcher, "step_wait")
            if path is not None:
                taken = path.take() if path.wait() else None
                if taken is not None:
                    self._out = arrivals.num_out > 0
                    leaves, rewards, terminations, truncations = taken
                    return arrivals.build(leaves), rewards, terminations, truncations, {}
                arrivals.leave_path(env_ids)
            if not arrivals.wait_for(env_ids, timeout):
                raise multiprocessing.TimeoutError(
                    f"The call to `step_wait` has timed out after {timeout} second(s)."
                )
            try:
                batch = arrivals.take_these(env_ids)
            finally:
                self._out = arrivals.num_out > 0
            del batch[4]["env_id"]
            self._name_final(batch[4])
            return batch
        finally:
            self._owner = None

    def _call_part(
        self, env_ids: list[int], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, ...]:
        """`call` of a part."""
        with self._entered() as batcher:
            self._assert_idle("call_async")
            self._start_call(batcher, name, args, kwargs, env_ids)
        return self.call_wait()

    def _part_was_closed(self, **kwargs: Any) -> None:
        """Closes this vector env when the last of its parts was closed."""
        self._open_parts -= 1
        if self._open_parts == 0:
            self.close(**kwargs)
