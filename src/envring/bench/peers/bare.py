# SPDX-License-Identifier: MIT
"""The bare Python loop, whose rate times the usable cores is the ceiling."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from envring.bench.peers.base import SEED, Adapter, Peer, draw_rows
from envring.bench.workloads import Workload


class BarePeer:
    """A Python loop over the same envs; a reset takes its time and is no step."""

    def __init__(self, workload: Workload, num_envs: int) -> None:
        self.num_envs = num_envs
        start = time.perf_counter()
        self._envs = [workload.make() for _ in range(num_envs)]
        self.construct_seconds = time.perf_counter() - start
        rows = draw_rows(self._envs[0].action_space, num_envs)
        self._actions: Iterator[Sequence[Any]] = itertools.cycle(rows)
        self._steps = [env.step for env in self._envs]
        self._resets = [env.reset for env in self._envs]
        for index, env in enumerate(self._envs):
            env.reset(seed=SEED + index)

    def advance(self, batches: int) -> None:
        """Step every env ``batches`` times."""
        steps, resets = self._steps, self._resets
        for actions in itertools.islice(self._actions, batches):
            for step, reset, action in zip(steps, resets, actions, strict=False):
                _obs, _reward, terminated, truncated, _info = step(action)
                if terminated or truncated:
                    reset()

    def take_resets(self) -> int:
        """0: this loop never spends a step on a reset."""
        return 0

    def close(self) -> None:
        """Close every env."""
        for env in self._envs:
            env.close()


def build(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """The loop; it takes no options."""
    return BarePeer(workload, num_envs, **options)


ADAPTERS = (Adapter(name="bare", title="Python loop", where="loop", build=build),)
