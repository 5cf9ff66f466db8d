# SPDX-License-Identifier: MIT
"""Gymnasium's own vector environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from envring.bench.peers.base import Adapter, Peer, VectorPeer
from envring.bench.workloads import Workload


def build_sync(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`gymnasium.vector.SyncVectorEnv`: every env in this process."""
    construct = gymnasium.vector.SyncVectorEnv
    return VectorPeer(lambda: construct([workload.make] * num_envs, **options), workload, num_envs)


def build_async(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`gymnasium.vector.AsyncVectorEnv`: a process for each env."""
    construct = gymnasium.vector.AsyncVectorEnv
    return VectorPeer(lambda: construct([workload.make] * num_envs, **options), workload, num_envs)


ADAPTERS = (
    Adapter(
        name="async",
        title="AsyncVectorEnv",
        where="workers",
        requirement="gymnasium",
        build=build_async,
    ),
    Adapter(
        name="async-nocopy",
        title="AsyncVectorEnv, copy=False",
        where="workers",
        requirement="gymnasium",
        preset={"copy": False},
        build=build_async,
    ),
    Adapter(
        name="sync",
        title="SyncVectorEnv",
        where="process",
        requirement="gymnasium",
        build=build_sync,
    ),
)
