# SPDX-License-Identifier: MIT
"""RingVectorEnv in its modes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from envring.bench.peers.base import Adapter, Peer, VectorPeer
from envring.bench.workloads import Workload
from envring.cpus import usable_cpus
from envring.launchers.sources import EnvSource


def build(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`envring.RingVectorEnv`; with the option `remotes` of envs on hosts."""
    from envring.api.vector import RingVectorEnv

    env_fn: Any = workload.make if "remotes" not in options else _source(workload)
    return VectorPeer(lambda: RingVectorEnv([env_fn] * num_envs, **options), workload, num_envs)


def _source(workload: Workload) -> EnvSource:
    """What to ask a host for: the id of a registered env, or "module:callable"."""
    make = workload.make
    function: Any = getattr(make, "func", make)
    args: tuple[Any, ...] = getattr(make, "args", ())
    name = f"{function.__module__}:{function.__qualname__}"
    if function is gymnasium.make:
        name, args = args[0], args[1:]
    return EnvSource.elsewhere(name, args, getattr(make, "keywords", {}))


def build_wide(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """A worker process for each env."""
    return build(workload, num_envs, {"num_workers": num_envs, **options})


def _refuses_wide(workload: Workload, num_envs: int) -> str | None:
    return None if num_envs > usable_cpus() else "the same as the defaults with so few envs"


def _mode(name: str, what: str, **preset: Any) -> Adapter:
    return Adapter(
        name=f"envring-{name}",
        title=f"RingVectorEnv, {what}",
        where="process" if preset.get("num_workers") == 0 else "workers",
        preset=preset,
        takes_workers="num_workers" not in preset,
        build=build,
    )


ADAPTERS = (
    Adapter(
        name="envring", title="RingVectorEnv", where="workers", takes_workers=True, build=build
    ),
    _mode("pinned", "pin=True", pin=True),
    _mode("nocopy", "copy=False", copy=False),
    _mode("1", "1 worker", num_workers=1),
    Adapter(
        name="envring-wide",
        title="RingVectorEnv, a worker per env",
        where="workers",
        note="for envs that sleep or wait",
        build=build_wide,
        refuses=_refuses_wide,
    ),
    _mode("0", "in process", num_workers=0),
)
