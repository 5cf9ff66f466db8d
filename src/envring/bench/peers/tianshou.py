# SPDX-License-Identifier: MIT
"""The vector environments of Tianshou, which leave resets to their caller."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from envring.bench.peers.base import SEED, Adapter, Build, Peer, draw_actions
from envring.bench.workloads import Workload


class TianshouPeer:
    """A `BaseVectorEnv`: ended envs are reset after the step, which takes time but is not a step.

    Args:
        construct: Builds the vector environment from a list of functions that build one env each.
        workload: What it steps; tells whether episodes end at all.
        num_envs: How many envs.
    """

    def __init__(self, construct: Callable[..., Any], workload: Workload, num_envs: int) -> None:
        self.num_envs = num_envs
        start = time.perf_counter()
        self.envs = construct([workload.make] * num_envs)
        self.construct_seconds = time.perf_counter() - start
        (space, *_) = self.envs.get_env_attr("action_space", [0])
        self._actions = itertools.cycle(draw_actions(space, num_envs))
        self._endless = workload.endless
        self.envs.seed(SEED)
        self.envs.reset()

    def advance(self, batches: int) -> None:
        """Step every env `batches` times and reset those that ended, as its collectors do."""
        step = self.envs.step
        for action in itertools.islice(self._actions, batches):
            _obs, _rewards, terminated, truncated, _infos = step(action)
            if self._endless:
                continue
            ended = np.flatnonzero(terminated | truncated)
            if ended.size:
                self.envs.reset(ended)

    def take_resets(self) -> int:
        """0: resets are calls of their own."""
        return 0

    def close(self) -> None:
        """Close the vector environment."""
        self.envs.close()


def _builder(kind: str) -> Build:
    def build(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
        import tianshou.env

        construct = functools.partial(getattr(tianshou.env, kind), **options)
        return TianshouPeer(construct, workload, num_envs)

    return build


def _adapter(name: str, kind: str, *, workers: bool) -> Adapter:
    return Adapter(
        name=f"tianshou-{name}",
        title=f"Tianshou {kind}",
        where="workers" if workers else "process",
        package="tianshou",
        module="tianshou.env",
        requirement="tianshou",
        build=_builder(kind),
    )


ADAPTERS = (
    _adapter("dummy", "DummyVectorEnv", workers=False),
    _adapter("subproc", "SubprocVectorEnv", workers=True),
    _adapter("shmem", "ShmemVectorEnv", workers=True),
)
