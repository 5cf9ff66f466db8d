# SPDX-License-Identifier: MIT
"""A RingVectorEnv as libraries want it whose infos are a list of dicts."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium import Space

from envring.api.vector import RingVectorEnv
from envring.batch.actions import Each
from envring.batch.arrivals import Arrivals
from envring.batch.batcher import Batcher
from envring.errors import EnvFnError
from envring.pool.flow import EnvIds
from envring.pool.reply import Reply


class ListedEnvs(RingVectorEnv[Any, Any]):
    """Single envs whose `reset`, `step` and `recv` return a list of infos, one dict per env.

    A dict has what the env put into it, in the env's own types; those of `recv` also the env's id,
    as "env_id". Where no env told `reset` or `step` anything the list is an empty dict.

    Messages call it by the name of the class that a user has: that is what derived classes say.

    Raises:
        EnvFnError: the env functions return vector envs.
        Exception: what RingVectorEnv raises.
    """

    _name = RingVectorEnv.__name__

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See RingVectorEnv."""
        super().__init__(*args, **kwargs)
        assert self._batcher is not None
        self._batcher.quiet = True  # what envs raise is raised, which is enough
        self._batcher.envs_infos.listed = True
        space = self.single_action_space
        self._action_kind = space.dtype.kind if isinstance(space.dtype, np.dtype) else ""

    def __repr__(self) -> str:
        """As Gymnasium writes it."""
        return f"{self._name}(num_envs={self.num_envs})"

    def _check_sizes(self) -> None:
        if self._vectors is not None:
            raise EnvFnError("The env functions return vector envs; single envs are wanted here.")
        super()._check_sizes()

    def _infos(self, batcher: Batcher, reply: Reply | None) -> Any:
        return batcher.infos_of_each(reply) if batcher.has_infos else {}

    def fitting(self, actions: Any) -> Any:
        """Actions for `step_async`: anything that has one item per env.

        Each env receives its item as it is, as when it were stepped directly. An array of the
        action space's kind of numbers moves without further ado.
        """
        if type(actions) is np.ndarray and actions.dtype.kind == self._action_kind:
            return actions
        return Each(actions)

    # -- some of the envs -------------------------------------------------------------------

    def step_some(self, actions: Any, env_ids: Sequence[int]) -> Any:
        """Steps some envs; actions as for `fitting`, one per env in the order of env_ids.

        Returns:
            As `step`, with a row per env, in ascending order of ids.
        """
        self.send_some(actions, env_ids)
        return self._take(env_ids)

    def reset_some(
        self, env_ids: Sequence[int], seed: Any = None, options: Any = None
    ) -> tuple[Any, list[dict[str, Any]]]:
        """Resets some envs, all with the same options, while others may be out.

        Args:
            env_ids: which.
            seed: one for all of them, or a list of one each.
            options: for each.

        Returns:
            Observations and infos, with a row per env, in ascending order of ids.
        """
        seeds = seed if isinstance(seed, list) else [seed] * len(env_ids)
        self.async_reset(env_ids, seed=seeds, options=options)
        observations, _, _, _, infos = self._take(env_ids)
        for info in infos:
            del info["env_id"]
        return observations, infos

    def send_some(self, actions: Any, env_ids: Sequence[int]) -> None:
        """`send` of actions as for `fitting`."""
        exact = type(actions) is np.ndarray and actions.dtype == self.single_action_space.dtype
        self.send(actions if exact else Each(actions), env_ids)

    def recv_done(self, count: int, timeout: float | None) -> Any:
        """`recv` of so many envs, or of those that are done after `timeout` seconds.

        It waits for one at least.
        """
        while True:
            try:
                return self.recv(count, timeout)
            except multiprocessing.TimeoutError:
                with self._entered() as batcher:
                    done = batcher.arrivals().num_done
                if done:
                    return self.recv(min(count, done))

    def out(self) -> list[int]:
        """Ids of the envs that were sent and not received."""
        with self._entered() as batcher:
            return batcher.arrivals().among_out(np.arange(self.num_envs, dtype=np.int32))

    def forget(self) -> None:
        """Waits for the envs that are out, and drops what they return or raise."""
        with self._entered() as batcher:
            if self._out:
                arrivals = batcher.arrivals()
                out = arrivals.among_out(np.arange(self.num_envs, dtype=np.int32))
                self._take_out(arrivals, np.array(out, np.int32), quietly=True)

    def _take(self, env_ids: Sequence[int]) -> Any:
        with self._entered() as batcher:
            wanted = np.sort(np.asarray(self._choose(env_ids), np.int32))
            return self._take_out(batcher.arrivals(), wanted)

    def _take_out(self, arrivals: Arrivals, env_ids: EnvIds, quietly: bool = False) -> Any:
        """A batch of these envs, all of which are out."""
        arrivals.wait_for(env_ids, None)
        try:
            with contextlib.suppress(*[Exception] * quietly):
                return arrivals.take_these(env_ids)
        finally:
            self._out = arrivals.num_out > 0

    # -- attributes -------------------------------------------------------------------------

    def ask(
        self, question: str, indices: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> list[Any]:
        """What some envs answer to a question of `envring_worker.names`.

        Args:
            question: "get:NAME", "has:NAME", "set:NAME", "run:NAME", "seed:NAME" or
                "wrapped:NAME".
            indices: None for all envs, an index, or several, also more than once.
            args: what goes with the question.
            kwargs: the same.

        Returns:
            An answer for each index.

        Raises:
            IndexError: there is no such env.
        """
        answers: list[Any] = []
        for chosen in self._turns(indices):
            with self._entered() as batcher:
                self._assert_idle("call")
                self._start_call(batcher, question, tuple(args), kwargs or {}, chosen)
            answers += self.call_wait()
        return answers

    def space_of_each(self, name: str) -> list[Space[Any]]:
        """Copies of each env's "action_space" or "observation_space"; elsewhere, of the first's."""
        assert self._batcher is not None
        if self._batcher.pool.foreign:
            spaces = [getattr(self, f"single_{name}")] * self.num_envs
        else:
            spaces = self.ask(f"get:{name}", None)
        return [deepcopy(space) for space in spaces]

    def _turns(self, indices: Any) -> Iterator[list[int] | None]:
        """Ids of envs, no two of them equal in one turn; None for all."""
        if indices is None:
            yield None
            return
        given = [indices] if isinstance(indices, (int, np.integer)) else indices
        env_ids = [range(self.num_envs)[index] for index in given]
        while env_ids:
            turn = list(dict.fromkeys(env_ids))
            count = next((n for n, each in enumerate(env_ids) if each in env_ids[:n]), None)
            yield turn if count is None else env_ids[:count]
            env_ids = [] if count is None else env_ids[count:]
