# SPDX-License-Identifier: MIT
"""EnvPool: threads that step its own C++ envs; a reference for peers that step Python envs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envring.bench.peers.base import SEED, Adapter, Peer, VectorPeer
from envring.bench.workloads import Workload

TASKS = {"cartpole": "CartPole-v1", "pong": "Pong-v5", "mujoco": "HalfCheetah-v5"}


class EnvPoolPeer(VectorPeer):
    """EnvPool's Gymnasium interface; it spends the step after an episode's end on the reset."""

    def _reset(self) -> None:
        self.envs.reset()  # its seed is an argument of its constructor


def build(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`envpool.make`, synchronous; `num_workers` is its number of threads."""
    import envpool

    options = {"seed": SEED, **options}
    if (threads := options.pop("num_workers", None)) is not None:
        options["num_threads"] = threads
    return EnvPoolPeer(
        lambda: envpool.make(
            TASKS[workload.name], env_type="gymnasium", num_envs=num_envs, **options
        ),
        workload,
        num_envs,
    )


def _refuses(workload: Workload, num_envs: int) -> str | None:
    return None if workload.name in TASKS else "it does not have this env in C++"


ADAPTERS = (
    Adapter(
        name="envpool",
        title="EnvPool (C++ envs)",
        where="native",
        package="envpool",
        requirement="envpool",
        takes_workers=True,
        note="steps no Python env; its Pong observes 84x84x4, not the raw screen",
        build=build,
        refuses=_refuses,
    ),
)
