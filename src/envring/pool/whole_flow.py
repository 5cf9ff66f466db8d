# SPDX-License-Identifier: MIT
"""The `Flow` of vector envs, whose rows are sent, and done, together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envring.pool.flow import DoneQueue, EnvIds, Flow, WorkerFlow
from envring.pool.mixed_flow import MixedFlow
from envring.pool.reply import Reply


class WholeFlow(DoneQueue):
    """A flow in which the rows of a vector env are done when all of them are.

    Args:
        flow: that of the pool.
        vectors: the rows of each vector env: first and end.
    """

    def __init__(self, flow: Flow, vectors: Sequence[tuple[int, int]]) -> None:
        """Begins with no env out."""
        super().__init__()
        self._flow = flow
        self._vectors = vectors
        self._vector_of = np.repeat(np.arange(len(vectors)), [b - a for a, b in vectors])
        self._came = [0] * len(vectors)  # rows of each that are done while others are not
        self.failed = flow.failed

    @property
    def num_out(self) -> int:
        """How many envs are out."""
        return self._flow.num_out + sum(self._came) + len(self._done)

    def among_out(self, env_ids: EnvIds) -> list[int]:
        """Those of the envs that are out."""
        out = {*self._flow.among_out(env_ids), *self._done}
        numbers = self._vector_of[env_ids].tolist()
        pairs = zip(env_ids.tolist(), numbers, strict=True)
        return [env_id for env_id, number in pairs if env_id in out or self._came[number]]

    def send(self, env_ids: EnvIds, slot: int, code: int, together: bool) -> None:
        """Has vector envs stepped or reset; see `Flow`."""
        self._flow.send(env_ids, slot, code, together)

    def owing(self) -> list[int]:
        """The envs that owe results."""
        assert isinstance(self._flow, (WorkerFlow, MixedFlow))
        return self._flow.owing()

    def ready(self) -> int:
        """How many envs are done, without waiting."""
        count = self._flow.ready()
        if count:
            for number in self._vector_of[self._flow.take(count)].tolist():
                first, end = self._vectors[number]
                self._came[number] += 1
                if self._came[number] == end - first:
                    self._came[number] = 0
                    self._done += range(first, end)
        return len(self._done)

    def wait(self, count: int, deadline: float | None) -> bool:
        """Waits until so many envs are done; see `Flow`."""
        while (missing := count - self.ready()) > 0:
            if not self._flow.wait(max(missing - sum(self._came), 1), deadline):
                return self.ready() >= count
        return True

    def collect(self, env_ids: Sequence[int]) -> Reply | None:
        """What taken envs have beyond arrays, once."""
        return self._flow.collect(env_ids)
