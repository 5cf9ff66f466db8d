# SPDX-License-Identifier: MIT
"""How workers are started and where: plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from envring.launchers.base import Launcher
from envring.workers.limits import Limits, RestartPolicy


@dataclass(frozen=True)
class Placement:
    """Where a slice of envs runs: one worker.

    Attributes:
        env_ids: contiguous.
        launcher: of another interpreter, or None for the caller's own.
        number: of the worker, in its process's name and among the CPUs to pin to.
    """

    env_ids: range
    launcher: Launcher | None
    number: int


@dataclass
class PoolOptions:
    """How workers are started and how everybody waits.

    Attributes:
        context: a multiprocessing context.
        daemon: daemon flag of the processes.
        name: of the processes, before their number.
        autoreset_mode: 0 next step, 1 same step, 2 disabled.
        environ: environment variables for workers; None removes one.
        blas_threads: threads for libraries that workers inherit, None to leave them.
        cpus: CPU per worker, or None.
        compiled: whether workers use the compiled step loop.
        spin: seconds to spin before sleeping.
        adaptive: whether spins that are not worth it are skipped.
        yield_every: pauses between two yields.
        start_timeout: seconds until workers must be ready, or None.
        limits: seconds that a batch may take.
        on_unsendable: what becomes of objects that cannot be sent from another interpreter.
        prelude: is pickled with env_fns and unpickled before them, in workers that are not forked.
        restarts: how often workers that died are started again; None: a death is an error.
    """

    context: Any
    daemon: bool
    name: str
    autoreset_mode: int
    environ: Mapping[str, str | None]
    blas_threads: int | None
    cpus: Sequence[int] | None
    compiled: bool
    spin: float
    adaptive: bool
    yield_every: int
    start_timeout: float | None
    limits: Limits
    on_unsendable: str
    prelude: Any
    restarts: RestartPolicy | None = None


@dataclass
class WorkerOptions:
    """How one worker runs; sent to it when it starts.

    Attributes:
        index: its number.
        first_env: number of its first env.
        autoreset_mode: 0 next step, 1 same step, 2 disabled.
        environ: environment variables to set; None removes one.
        cpu: the CPU to run on, or None for any.
        blas_threads: as in PoolOptions.
        seeds: for the global generators, of `random` and of `numpy.random`.
        compiled: whether to use the compiled step loop.
        spin: seconds to spin, None for the default.
        on_unsendable: as in PoolOptions; local workers send everything that can be pickled.
    """

    index: int
    first_env: int
    autoreset_mode: int
    environ: Mapping[str, str | None]
    cpu: int | None
    blas_threads: int | None
    seeds: tuple[int, int]
    compiled: bool
    spin: float
    adaptive: bool
    yield_every: int
    on_unsendable: str
