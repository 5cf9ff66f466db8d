# SPDX-License-Identifier: MIT
"""A RingVectorEnv as libraries want it whose infos are a list of dicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from envring.api.vector import RingVectorEnv
from envring.batch.actions import Each
from envring.batch.batcher import Batcher
from envring.errors import EnvFnError
from envring.pool.reply import Reply
from envring.workers.limits import RestartPolicy


class ListedEnvs(RingVectorEnv[Any, Any]):
    """Single envs whose `reset` and `step` return a list of infos, one dict per env.

    A dict has what the env put into it, in the env's own types. Where no env told anything the list
    is an empty dict.

    Raises:
        EnvFnError: the env functions return vector envs.
        Exception: what RingVectorEnv raises.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See RingVectorEnv."""
        super().__init__(*args, **kwargs)
        assert self._batcher is not None
        self._batcher.quiet = True  # what envs raise is raised, which is enough
        space = self.single_action_space
        self._action_kind = space.dtype.kind if isinstance(space.dtype, np.dtype) else ""

    def _check_sizes(self, restarts: RestartPolicy | None) -> None:
        if self._vectors is not None:
            raise EnvFnError("The env functions return vector envs; single envs are wanted here.")
        super()._check_sizes(restarts)

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

    def ask(
        self, question: str, indices: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> list[Any]:
        """What some envs answer to a question of `envring_worker.names`.

        Args:
            question: "get:NAME", "has:NAME", "set:NAME", "run:NAME" or "wrapped:NAME".
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
