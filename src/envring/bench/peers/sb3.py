# SPDX-License-Identifier: MIT
"""The vector environments of Stable-Baselines3, which reset an env in the step that ends it."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

from envring.bench.peers.base import SEED, Adapter, Peer, draw_actions
from envring.bench.workloads import Workload


class Sb3Peer:
    """A `VecEnv`: no step of it is a reset, since an ended env is reset in the same step.

    Args:
        construct: Builds the `VecEnv` from a list of functions that build one env each.
        workload: What it steps.
        num_envs: How many envs.
    """

    def __init__(self, construct: Callable[..., Any], workload: Workload, num_envs: int) -> None:
        self.num_envs = num_envs
        start = time.perf_counter()
        self.envs = construct([workload.make] * num_envs)
        self.construct_seconds = time.perf_counter() - start
        self._actions = itertools.cycle(draw_actions(self.envs.action_space, num_envs))
        self.envs.seed(SEED)
        self.envs.reset()

    def advance(self, batches: int) -> None:
        """Step every env `batches` times, holding the latest arrays as a caller would."""
        step = self.envs.step
        for action in itertools.islice(self._actions, batches):
            _obs, _rewards, _dones, _infos = step(action)

    def take_resets(self) -> int:
        """0: a reset takes its time within a step that counts."""
        return 0

    def close(self) -> None:
        """Close the vector environment."""
        self.envs.close()


def build_dummy(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`DummyVecEnv`: every env in this process."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    return Sb3Peer(functools.partial(DummyVecEnv, **options), workload, num_envs)


def build_subproc(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`SubprocVecEnv`: a process for each env."""
    from stable_baselines3.common.vec_env import SubprocVecEnv

    return Sb3Peer(functools.partial(SubprocVecEnv, **options), workload, num_envs)


ADAPTERS = (
    Adapter(
        name="sb3-dummy",
        title="SB3 DummyVecEnv",
        where="process",
        package="stable_baselines3",
        requirement="stable-baselines3",
        build=build_dummy,
    ),
    Adapter(
        name="sb3-subproc",
        title="SB3 SubprocVecEnv",
        where="workers",
        package="stable_baselines3",
        requirement="stable-baselines3",
        # Its default imports torch again in each process: minutes, for the same steps.
        preset={"start_method": "fork"},
        note="started by fork, not by its default forkserver",
        build=build_subproc,
    ),
)
