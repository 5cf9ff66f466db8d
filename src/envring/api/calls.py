# SPDX-License-Identifier: MIT
"""Reset, step, call and attributes: AsyncVectorEnv's methods and its state machine."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Sequence
from typing import Any, Generic, Self

import numpy as np
import numpy.typing as npt
from gymnasium.core import ActType, ObsType, RenderFrame
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError
from gymnasium.vector import VectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from envring.api import env_indices, reset_arguments
from envring.api.env_indices import Indices
from envring.api.guard import Guarded
from envring.batch.batcher import Batcher
from envring.core import _core
from envring.errors import EnvringError, format_env_ids
from envring.pool.reply import Reply

# Members of an enum are slow to look up.
_IDLE = AsyncState.DEFAULT
_STEPPING = AsyncState.WAITING_STEP


class AsyncCalls(Guarded, VectorEnv[ObsType, ActType, np.ndarray], Generic[ObsType, ActType]):
    """The calls of a vector env, each as a pair of `_async` and `_wait`.

    Attributes:
        num_workers: number of worker processes.
        final_observation: whether infos carry the names from before Gymnasium 1.0 too.
        options_per_env: whether a list of reset options has one item per env.
    """

    num_workers: int
    final_observation: bool
    options_per_env: bool
    _chosen: list[int] | None = None  # the envs that the pending call is for; None for all
    _state = AsyncState.DEFAULT
    _wait_warning_due = False
    _vectors: Sequence[tuple[int, int]] | None = None  # rows of each vector env
    _out = False  # envs were sent (`send`, `async_reset`) and not received

    def __len__(self) -> int:
        """Number of envs."""
        return self.num_envs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.close()

    # -- reset ------------------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[ObsType, dict[str, Any]]:
        """Resets all envs, or those in `options["reset_mask"]`.

        Args:
            seed: one seed s, which gives env i the seed s + i; or one per env; or None.
            options: passed to each env, without `reset_mask`: bool array (num_envs,), which leaves
                envs alone where it is False; they keep their observation. With
                `options_per_env=True` it may be a list of one dict or None per env.

        Returns:
            Observations, in batch, and infos.
        """
        self.reset_async(seed=seed, options=options)
        return self.reset_wait()

    def reset_async(
        self,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Starts a reset; `reset_wait` gives its results.

        A call that Ctrl-C interrupted is waited for and forgotten.

        Raises:
            ClosedEnvironmentError: after `close`.
            ValueError: wrong number of seeds or options, or reset_mask of a wrong shape or all
                False.
            TypeError: reset_mask is not a bool array.
            AlreadyPendingCallError: another call is pending.
        """
        with self._entered() as batcher:
            seeds = reset_arguments.seeds(seed, self.num_envs)
            if self._unclaimed:  # Ctrl-C ended the wait for it: the next cell of a notebook
                self._state = _IDLE
            self._assert_idle("reset_async")
            per_env = self.options_per_env and isinstance(options, (list, tuple))
            mask, rest = reset_arguments.split(options, self.num_envs, per_env)
            self._begin(batcher, lambda batcher: batcher.start_reset(seeds, rest, mask, per_env))
            self._pend(AsyncState.WAITING_RESET)

    def reset_wait(self, timeout: float | None = None) -> tuple[ObsType, dict[str, Any]]:
        """Waits for a reset.

        Args:
            timeout: seconds to wait, None for as long as it takes.

        Returns:
            Observations, in batch, and infos.

        Raises:
            ClosedEnvironmentError: after `close`.
            NoAsyncCallError: there was no `reset_async`.
            multiprocessing.TimeoutError: it took too long; its results are dropped when they come.
            WorkerDied: a worker ended.
        """
        with self._entered() as batcher:
            reply = self._await(batcher, AsyncState.WAITING_RESET, "reset", timeout)
            observations = batcher.observations(reply)
            return observations, self._infos(batcher, reply)

    # -- step -------------------------------------------------------------------------------

    def step(
        self, actions: ActType
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Steps every env.

        Args:
            actions: one action per env: an element of `action_space`, or a sequence of single ones.

        Returns:
            Observations, rewards (num_envs,) float64, terminations and truncations (num_envs,)
            bool, infos.
        """
        batcher = self._enter()
        try:
            if self._state is not _IDLE or self._unclaimed or self._out:
                self._assert_idle("step_async")
                self._settle(batcher)
            self._unclaimed = True  # until its results are here, or the state says so
            results = batcher.step(actions)
            if results is None:
                self._state = _STEPPING
            self._unclaimed = False
            if results is not None:
                return results
        except KeyboardInterrupt:
            if batcher.is_stepping:
                self._state = _STEPPING  # and unclaimed: `step_wait` may go on
                self._unclaimed = True
            raise
        finally:
            self._owner = None
        return self.step_wait()

    def step_async(self, actions: ActType) -> None:
        """Starts a step; `step_wait` gives its results.

        Raises:
            ClosedEnvironmentError: after `close`.
            AlreadyPendingCallError: another call is pending.
            ActionError: the actions do not fit; no env was stepped.
        """
        batcher = self._enter()
        try:
            if self._state is not _IDLE or self._unclaimed or self._out:
                self._assert_idle("step_async")
                self._settle(batcher)
            self._unclaimed = True  # until the state says so; Ctrl-C may strike between the lines
            batcher.start_step(actions)
            self._state = _STEPPING
            self._unclaimed = False
        finally:
            self._owner = None

    def step_wait(
        self, timeout: float | None = None
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Waits for a step; see `step` and `reset_wait` for returns and exceptions."""
        batcher = self._enter()
        try:
            if timeout is None and self._state is _STEPPING and batcher.step_is_done():
                self._state = _IDLE  # first: a batch that Ctrl-C cuts off must not be taken twice
                results = batcher.take_step()
                if results is not None:
                    observations, rewards, terminations, truncations = results
                    return observations, rewards, terminations, truncations, {}
                self._state = _STEPPING
            reply = self._await(batcher, _STEPPING, "step", timeout)
            rewards, terminations, truncations = batcher.outcomes()
            observations = batcher.observations(reply)
            infos = self._infos(batcher, reply) if batcher.has_infos else {}
            return observations, rewards, terminations, truncations, infos
        except KeyboardInterrupt:
            self._unclaimed = True  # and it is still pending: `step_wait` may go on
            raise
        finally:
            self._owner = None

    # -- call and attributes ----------------------------------------------------------------

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of the envs, or gets an attribute; see `call_async`."""
        self.call_async(name, *args, **kwargs)
        return self.call_wait()

    def call_async(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Starts `env.get_wrapper_attr(name)` in every env, called with the arguments if callable.

        `indices=` chooses envs, as in SB3: None, an index, or several. If a method itself takes a
        keyword `indices` (or any keyword), it is the method's, as everywhere in Gymnasium: the
        envs are asked first.

        Raises:
            ClosedEnvironmentError: after `close`.
            ValueError: indices of envs that there are not, or twice the same.
            TypeError: indices that are not indices.
            AlreadyPendingCallError: another call is pending.
        """
        with self._entered() as batcher:
            self._assert_idle("call_async")
            chosen = None
            if "indices" in kwargs and not self._take_indices(batcher, name):
                chosen = self._choose(kwargs.pop("indices"))
            self._start_call(batcher, name, args, kwargs, chosen)

    def _choose(self, indices: Indices) -> list[int] | None:
        """The ids of the envs that indices name, in their order; None for all."""
        chosen = env_indices.env_ids(indices, self.num_envs)
        if chosen is not None and self._vectors is not None:
            env_indices.assert_whole(chosen, self._vectors)
        return chosen

    def _take_indices(self, batcher: Batcher, name: str) -> bool:
        """Whether the method of some env takes a keyword `indices`."""
        reply = self._run(batcher, lambda batcher: batcher.start_takes(name, "indices"))
        return reply is not None and any(reply.results.values())

    def _start_call(
        self,
        batcher: Batcher,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        chosen: list[int] | None,
    ) -> None:
        self._begin(batcher, lambda batcher: batcher.start_call(name, args, kwargs, chosen))
        self._chosen = chosen
        self._pend(AsyncState.WAITING_CALL)

    def call_wait(self, timeout: float | None = None) -> tuple[Any, ...]:
        """Results of a call, one per chosen env; see `reset_wait` for exceptions."""
        with self._entered() as batcher:
            reply = self._await(batcher, AsyncState.WAITING_CALL, "call", timeout)
            results = {} if reply is None else reply.results
            chosen = range(self.num_envs) if self._chosen is None else self._chosen
            return tuple(results.get(env_id) for env_id in chosen)

    def get_attr(self, name: str, indices: Indices = None) -> tuple[Any, ...]:
        """An attribute of every env, or of some (called, if it is callable).

        Args:
            name: the attribute.
            indices: which envs: None for all, an index, or several.

        Returns:
            The values, in the order of indices.
        """
        if indices is None:
            return self.call(name)
        with self._entered() as batcher:
            self._assert_idle("call_async")
            chosen = self._choose(indices)
            self._start_call(batcher, name, (), {}, chosen)
        return self.call_wait()

    def set_attr(
        self, name: str, values: list[Any] | tuple[Any, ...] | object, indices: Indices = None
    ) -> None:
        """Sets an attribute of every env, or of some, where its wrappers find it.

        Args:
            name: the attribute.
            values: a list or tuple of one value per env, or anything else: one value for all.
            indices: which envs: None for all, an index, or several.

        Raises:
            ClosedEnvironmentError: after `close`.
            ValueError: wrong number of values, or indices as in `call_async`.
            AlreadyPendingCallError: another call is pending.
        """
        with self._entered() as batcher:
            chosen = self._choose(indices)
            count = self.num_envs if chosen is None else len(chosen)
            each = values if isinstance(values, (list, tuple)) else [values] * count
            if len(each) != count:
                raise ValueError(
                    "Values must be a list or tuple with length equal to the number of "
                    f"environments. Got `{len(each)}` values for {count} environments."
                )
            self._assert_idle("set_attr")
            self._run(batcher, lambda batcher: batcher.start_set_attr(name, each, chosen))

    def render(self) -> tuple[RenderFrame, ...] | None:
        """A frame, or list of frames, per env."""
        return self.call("render")

    # -- state ------------------------------------------------------------------------------

    def _assert_idle(self, operation: str) -> None:
        if self._out:
            assert self._batcher is not None
            env_ids = np.arange(self.num_envs, dtype=np.int32)
            out = self._batcher.arrivals().among_out(env_ids)
            raise AlreadyPendingCallError(
                f"Calling `{operation}` while {format_env_ids(out)} were sent and not received. "
                "Receive them first, with `recv`.",
                "recv",
            )
        if self._state != AsyncState.DEFAULT:
            pending = str(self._state.value)
            # Gymnasium's texts, which differ in their last character
            stop = "" if operation == "reset_async" else "."
            raise AlreadyPendingCallError(
                f"Calling `{operation}` while waiting for a pending call to `{pending}` to "
                f"complete{stop}",
                pending,
            )

    def _pend(self, state: AsyncState) -> None:
        self._state = state
        self._unclaimed = False

    def _await(
        self, batcher: Batcher, state: AsyncState, name: str, timeout: float | None
    ) -> Reply | None:
        if self._state is not state:
            raise NoAsyncCallError(
                f"Calling `{name}_wait` without any prior call to `{name}_async`.",
                str(state.value),
            )
        try:
            in_time = batcher.wait(timeout)
        except EnvringError:  # a worker died: nothing is pending any more
            self._state = AsyncState.DEFAULT
            raise
        except KeyboardInterrupt:
            self._unclaimed = True
            raise
        if not in_time:
            self._state, self._unclaimed = AsyncState.DEFAULT, True
            raise multiprocessing.TimeoutError(
                f"The call to `{name}_wait` has timed out after {timeout} second(s)."
            )
        self._state = _IDLE
        reply = batcher.collect()
        if reply is not None and self._wait_warning_due:
            self._warn_of_waiting(batcher)
        return reply

    def _infos(self, batcher: Batcher, reply: Reply | None) -> dict[str, Any]:
        infos = batcher.infos(reply)
        self._name_final(infos)
        return infos

    def _name_final(self, infos: dict[str, Any]) -> None:
        """Adds the names from before Gymnasium 1.0, if they are asked for."""
        if self.final_observation and "final_obs" in infos:
            infos["final_observation"] = infos["final_obs"].copy()
            infos["_final_observation"] = infos["_final_obs"].copy()

    def _warn_of_waiting(self, batcher: Batcher) -> None:
        if batcher.pool.hints & _core.HINT_MOSTLY_WAITING:
            self._wait_warning_due = False
            warnings.warn(
                f"Steps of these envs mostly wait (sleep, socket, another process) instead of "
                f"computing, and {self.num_workers} workers step {self.num_envs} envs in turn. "
                f"Let them wait at the same time: num_workers=num_envs ({self.num_envs}).",
                UserWarning,
                stacklevel=4,
            )
