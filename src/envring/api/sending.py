# SPDX-License-Identifier: MIT
"""Send and receive: envs that do not wait for each other."""

from __future__ import annotations

import multiprocessing
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium.core import ActType, ObsType
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError

from envring.api import reset_arguments
from envring.api.calls import AsyncCalls
from envring.api.env_indices import Indices
from envring.batch.arrivals import Arrivals
from envring.batch.batcher import Batcher
from envring.errors import format_env_ids
from envring.pool.flow import EnvIds

Step: TypeAlias = tuple[
    ObsType,
    npt.NDArray[np.float64],
    npt.NDArray[np.bool_],
    npt.NDArray[np.bool_],
    dict[str, Any],
]


class SendRecv(AsyncCalls[ObsType, ActType], Generic[ObsType, ActType]):
    """Steps of some envs at a time, as EnvPool has them.

    An env is *out* from when it is sent (`send`, `async_reset`) until it is received (`recv`).
    While any is, no other call is accepted but these and `close`.

    Attributes:
        batch_size: how many envs `recv` waits for.
    """

    batch_size: int

    def send(self, actions: Any, env_ids: Indices = None) -> None:
        """Starts a step of some envs. Others may be out meanwhile.

        Args:
            actions: one action per env, in the order of env_ids: what `action_space` batches, with
                that many rows. They are cast to the space's dtype.
            env_ids: which envs: `infos["env_id"]` of `recv`, an index, or several. None for all.

        Raises:
            ClosedEnvironmentError: after `close`.
            AlreadyPendingCallError: some of these envs are out, or another call is pending.
            ActionError: the actions do not fit. Whatever is raised, no env was stepped.
            ValueError: an env that does not exist, or the same one twice, or only some of a
                vector env's.
            TypeError: env_ids are not indices.
        """
        with self._entered() as batcher:
            arrivals, chosen = self._to_send(batcher, env_ids, "send")
            try:
                arrivals.send(actions, chosen, self.batch_size)
            finally:
                self._out = arrivals.num_out > 0

    def async_reset(
        self,
        env_ids: Indices = None,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Any = None,
    ) -> None:
        """Starts a reset of some envs; `recv` gives their observations, with rewards of 0.

        Args:
            env_ids: as for `send`.
            seed: one seed s, which gives env i the seed s + i; or one per env of env_ids; or None.
            options: passed to each of the envs; with `options_per_env=True` it may be a list of
                one dict or None per env of env_ids.

        Raises:
            ValueError: wrong number of seeds or options; otherwise as `send`.
        """
        with self._entered() as batcher:
            arrivals, chosen = self._to_send(batcher, env_ids, "async_reset")
            given = self._reset_arguments(chosen.tolist(), seed, options)
            try:
                arrivals.reset(chosen, given, self.batch_size)
            finally:
                self._out = arrivals.num_out > 0

    def recv(self, min_envs: int | None = None, timeout: float | None = None) -> Step[ObsType]:
        """Waits until so many envs are done, and returns those that have been done for the longest.

        Args:
            min_envs: how many; None for `batch_size`.
            timeout: seconds to wait, None for as long as it takes.

        Returns:
            As `step`, with min_envs rows. `infos["env_id"]`, int32 (min_envs,), says in ascending
            order whose they are.

        Raises:
            ClosedEnvironmentError: after `close`.
            NoAsyncCallError: no env is out.
            ValueError: min_envs is not from 1 to the number of envs that are out, or not whole
                vector envs.
            TypeError: min_envs is not an integer.
            multiprocessing.TimeoutError: it took too long; nothing is lost.
            WorkerDied: a worker ended.
            Exception: what an env raised, which then is no longer out. Results of others are
                there for the next call.
        """
        with self._entered() as batcher:
            arrivals = self._arrivals(batcher, "recv")
            count = self.batch_size if min_envs is None else _whole_number(min_envs)
            self._check_count(arrivals, count)
            if not arrivals.wait(count, timeout):
                raise multiprocessing.TimeoutError(
                    f"The call to `recv` has timed out after {timeout} second(s)."
                )
            try:
                batch = arrivals.take(count)
            finally:
                self._out = arrivals.num_out > 0
            self._name_final(batch[4])
            return batch

    # -- checks -----------------------------------------------------------------------------

    def _to_send(
        self, batcher: Batcher, env_ids: Indices, name: str
    ) -> tuple[Arrivals, npt.NDArray[np.int32]]:
        arrivals = self._arrivals(batcher, name)
        found = self._choose(env_ids)
        chosen = np.asarray(range(self.num_envs) if found is None else found, np.int32)
        self._assert_not_out(arrivals, chosen, name)
        return arrivals, chosen

    def _assert_not_out(self, arrivals: Arrivals, env_ids: EnvIds, name: str) -> None:
        out = arrivals.among_out(env_ids)
        if out:
            raise AlreadyPendingCallError(
                f"Calling `{name}` for {format_env_ids(out)}, which were sent before and not "
                "received. Receive them first: infos['env_id'] of `recv` says which came.",
                name,
            )

    def _arrivals(self, batcher: Batcher, name: str) -> Arrivals:
        if not self._out:
            self._assert_idle(name)
            self._settle(batcher)
        return batcher.arrivals()

    def _check_rows(self, count: int, what: str) -> None:
        """Refuses numbers of envs that are not whole vector envs."""
        sizes = {end - first for first, end in self._vectors or [(0, 1)]}
        if len(sizes) > 1 or count % sizes.pop():
            raise ValueError(
                f"{what} is {count}, but envs are sent and received as whole vector envs: give a "
                "multiple of their number of envs, and vector envs of the same one."
            )

    def _check_count(self, arrivals: Arrivals, count: int) -> None:
        if arrivals.num_out == 0:
            raise NoAsyncCallError(
                "Calling `recv` without any prior call to `send` or `async_reset`.", "recv"
            )
        if not 1 <= count <= arrivals.num_out:
            raise ValueError(
                f"`recv` is to wait for {count} envs, and {arrivals.num_out} were sent. Send more "
                "envs before, or give a smaller min_envs."
            )
        if self._vectors is not None and count < arrivals.num_out:
            self._check_rows(count, "min_envs")

    def _reset_arguments(
        self, env_ids: list[int], seed: int | Sequence[int | None] | None, options: Any
    ) -> Mapping[int, tuple[int | None, Any]]:
        count = len(env_ids)
        if seed is None or isinstance(seed, (int, np.integer)):
            whole = reset_arguments.seeds(seed, self.num_envs)
            seeds = [whole[env_id] for env_id in env_ids]
        else:
            seeds = list(reset_arguments.seeds(seed, count))
        per_env = self.options_per_env and isinstance(options, (list, tuple))
        if per_env and len(options) != count:
            raise ValueError(
                f"Got {len(options)} options for {count} envs. Give one dict or None per env."
            )
        each = options if per_env else [options] * count
        given = zip(env_ids, seeds, each, strict=True)
        return {i: (s, o) for i, s, o in given if s is not None or o is not None}


def _whole_number(min_envs: Any) -> int:
    try:
        return operator.index(min_envs)
    except TypeError:
        raise TypeError(f"min_envs is a number of envs, an integer, not {min_envs!r}.") from None
