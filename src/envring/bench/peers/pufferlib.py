# SPDX-License-Identifier: MIT
"""The vector environments of PufferLib, through its emulation of Gymnasium's envs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from envring.bench.peers.base import JOIN_SECONDS, Adapter, Peer, VectorPeer
from envring.bench.workloads import Workload
from envring.cpus import usable_cpus


class PufferPeer(VectorPeer):
    """A PufferLib vector environment; it spends the step after an episode's end on the reset."""

    def close(self) -> None:
        """Close it and wait for its workers, which PufferLib only tells to end."""
        self.envs.close()
        for process in getattr(self.envs, "processes", ()):
            process.join(JOIN_SECONDS)


def build_serial(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`Serial`: every env in this process."""
    return _build("Serial", workload, num_envs, options)


def build_workers(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """`Multiprocessing`: by default the most workers, up to the cores, that divide the envs."""
    import psutil

    options = dict(options)
    if options.get("num_workers") is None:
        cores = min(usable_cpus(), psutil.cpu_count(logical=False) or 1)
        options["num_workers"] = largest_divisor(num_envs, cores)
    else:
        options["overwork"] = True  # more workers than cores are refused unless they are asked for
    return _build("Multiprocessing", workload, num_envs, options)


def _build(
    backend: str, workload: Workload, num_envs: int, options: Mapping[str, Any]
) -> PufferPeer:
    from pufferlib.emulation import GymnasiumPufferEnv
    from pufferlib.vector import make

    creator = functools.partial(GymnasiumPufferEnv, env_creator=workload.make)
    return PufferPeer(
        lambda: make(creator, backend=backend, num_envs=num_envs, **options), workload, num_envs
    )


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is not above `limit`."""
    return next(each for each in range(min(number, limit), 0, -1) if number % each == 0)


def _adapter(name: str, title: str, **more: Any) -> Adapter:
    return Adapter(
        name=name,
        title=title,
        package="pufferlib",
        module="pufferlib.vector",
        # Its own requirements would bring back numpy 1 and an old gymnasium.
        requirement="--no-deps pufferlib gym==0.23.0 gym-notices psutil",
        **more,
    )


ADAPTERS = (
    _adapter("pufferlib-serial", "PufferLib Serial", where="process", build=build_serial),
    _adapter(
        "pufferlib",
        "PufferLib Multiprocessing",
        where="workers",
        takes_workers=True,
        build=build_workers,
    ),
    _adapter(
        "pufferlib-1",
        "PufferLib Multiprocessing, 1 worker",
        where="workers",
        preset={"num_workers": 1},
        build=build_workers,
    ),
)
