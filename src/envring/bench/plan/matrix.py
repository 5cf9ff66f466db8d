# SPDX-License-Identifier: MIT
"""Which cells are measured, and for how long each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from envring.bench import peers, workloads
from envring.bench.plan.cells import Cell
from envring.cpus import usable_cpus

PEERS = ("envring", "async", "sync", "bare")
_SERIAL = ("sb3-dummy", "pufferlib-serial")
_WORKERS = ("sb3-subproc", "tianshou-shmem", "pufferlib", "pufferlib-1", "torchrl")
_EVERY = ("envring", "envring-pinned", "async", *_WORKERS, "sync", *_SERIAL, "envpool", "bare")
_MORE = ("tianshou-subproc", "tianshou-dummy", "torchrl-serial", "bare-all")
_MODES = ("envring-nocopy", "envring-1", "envring-0", "async-nocopy")
_THINKING = ("envring", "envring-pinned", "async", "pufferlib-1", "sync", "sb3-dummy", "bare")
_FEW = (*_THINKING, "bare-all")
_FOR_PONG = (  # each env takes 0.2 s to start: too long for some peers
    "envring",
    "envring-pinned",
    "async",
    "sb3-subproc",
    "tianshou-shmem",
    "pufferlib-1",
    "sync",
    "envpool",
    "bare",
    "bare-all",
)

TURNS_SECONDS = 2.2  # all slices of one peer in a cell of the full matrix
_IMPORT_SECONDS = {"stable_baselines3": 1.6, "tianshou": 1.6, "torchrl": 2.0}  # with torch


@dataclass(frozen=True)
class Planned:
    """A cell and its share of the time.

    Attributes:
        cell: What to measure.
        share: Its share of the time, in a unit common to all cells of a plan.
    """

    cell: Cell
    share: float = 1.0


@dataclass(frozen=True)
class Matrix:
    """A named plan.

    Attributes:
        name: Its name on the command line.
        cells: What is measured, in this order.
        seconds: How long it takes by default.
        rounds: How often each peer gets a slice.
        slice_seconds: Length of a slice.
    """

    name: str
    cells: tuple[Planned, ...]
    seconds: float
    rounds: int
    slice_seconds: float


def plan(cell: Cell) -> Planned:
    """Plan a cell; its share grows with the time that its peers take to start and step."""
    seconds = 0.0
    known = workloads.WORKLOADS.get(cell.workload)
    for each in cell.contestants:
        adapter = peers.find(each.peer)
        seconds += TURNS_SECONDS + _IMPORT_SECONDS.get(adapter.package or "", 0.3)
        num_envs = each.num_envs or cell.num_envs
        if adapter.where == "workers":
            seconds += 0.015 * num_envs  # processes to start and to end
        if known is not None and adapter.where != "native":
            cores = usable_cpus() if adapter.where == "workers" else 1
            seconds += known.start_seconds * num_envs / cores
    return Planned(cell, seconds)


def grid(
    environments: Iterable[str],
    num_envs: Iterable[int],
    names: Sequence[str] = PEERS,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    num_workers: Iterable[int | None] = (None,),
    think: Iterable[float] = (0.0,),
    busy: Iterable[int] = (0,),
) -> tuple[Planned, ...]:
    """Plan a cell of the peers called `names` for every combination.

    Args:
        environments: Names of workloads.
        num_envs: Numbers of envs.
        names: Names of adapters.
        options: Per peer the keyword arguments of its constructor.
        num_workers: Numbers of workers; None: each peer's default.
        think: Seconds for which the caller computes after each step.
        busy: Numbers of other programs that compute meanwhile.
    """
    return tuple(
        plan(
            Cell.of(
                workload, count, names, options, num_workers=workers, think=thought, busy=programs
            )
        )
        for workload, count, workers, thought, programs in itertools.product(
            environments, num_envs, num_workers, think, busy
        )
    )


def _quick() -> Matrix:
    cells = (
        *grid(["cartpole"], [64], (*PEERS, "sb3-subproc", "tianshou-shmem", "pufferlib-1")),
        *grid(["cartpole"], [8]),
        *grid(["null", "image"], [64]),
    )
    return Matrix("quick", cells, seconds=45.0, rounds=7, slice_seconds=0.2)


def _full() -> Matrix:
    small = (1, 2)
    cells = (
        *grid(["null", "cartpole"], small, _FEW),
        *grid(["null", "cartpole"], [8], (*_EVERY, *_MORE)),
        *grid(["null", "cartpole"], [64], (*_EVERY, *_MORE, *_MODES)),
        *grid(["null", "cartpole"], [256], (*_FEW, "pufferlib")),
        *grid(["image", "image210", "dict5", "info5"], [8], _EVERY),
        *grid(["image", "image210", "dict5", "info5"], [64], (*_EVERY, "envring-nocopy")),
        *grid(["spin100"], [2], _FEW),
        *grid(["spin20", "spin100"], [8, 64], (*_EVERY, "bare-all")),
        *grid(["spin1000"], [64], (*_EVERY, "bare-all")),
        *grid(["tail"], [8, 64], (*_EVERY, "bare-all")),
        *grid(["tailsleep"], [8, 64], (*_EVERY, "envring-wide")),
        *grid(["pong"], [8, 64], _FOR_PONG),
        *grid(["mujoco"], [8, 64], (*_EVERY, "bare-all")),
        *grid(["null", "cartpole"], [64], ("envring", *PEERS[1:]), num_workers=[1, 2, 4]),
        *grid(["spin100"], [64], ("envring", *PEERS[1:]), num_workers=[1, 4]),
        *grid(["cartpole"], [8, 64], _THINKING, think=[300e-6, 3e-3]),
        *grid(["spin100"], [64], _THINKING, think=[3e-3]),
    )
    return Matrix("full", cells, seconds=1650.0, rounds=9, slice_seconds=0.3)


def _default() -> Matrix:
    return Matrix(
        "default", grid(["cartpole", "image"], [64]), seconds=41.0, rounds=9, slice_seconds=0.3
    )


MATRICES: dict[str, Callable[[], Matrix]] = {"default": _default, "quick": _quick, "full": _full}


def named(name: str) -> Matrix:
    """The matrix called `name`: `"default"`, `"quick"` or `"full"`.

    It has only the peers and workloads whose packages are installed;
    `envring.bench.measuring.inventory` lists the others.

    Raises:
        ValueError: if there is no such matrix.
    """
    if name not in MATRICES:
        raise ValueError(f"there is no matrix {name!r}; use one of {', '.join(MATRICES)}")
    matrix = MATRICES[name]()
    here = [each for each, adapter in peers.adapters().items() if peers.installed(adapter)]
    cells = tuple(each for each in matrix.cells if _is_here(each.cell.workload))
    return replace(matrix, cells=only(cells, here))


def _is_here(workload: str) -> bool:
    try:
        workloads.find(workload)
    except ValueError:
        return False
    return True


def only(planned: Iterable[Planned], names: Sequence[str]) -> tuple[Planned, ...]:
    """Keep only the peers called `names`, and the cells that have any of them."""
    kept = []
    for each in planned:
        few = tuple(one for one in each.cell.contestants if one.peer in names)
        if few:
            kept.append(plan(replace(each.cell, contestants=few)))
    return tuple(kept)
