# SPDX-License-Identifier: MIT
"""Checks constructor arguments and fills in defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envring.cpus import allowed_cpus, usable_cpus
from envring.workers.blas import VARIABLES
from envring.workers.limits import Limits, RestartPolicy
from envring.workers.local import get_context
from envring.workers.options import PoolOptions

SPIN = 1e-3  # seconds at most: a wait spins for twice as long as recent waits took


def choose_workers(num_envs: int, wanted: Any, max_concurrency: Any) -> int:
    """The number of workers for so many envs.

    Raises:
        ValueError: `wanted` or `max_concurrency` is not a number of workers.
    """
    if max_concurrency is not None:
        if not isinstance(max_concurrency, (int, np.integer)):
            raise ValueError(
                f"`max_concurrency` must be an integer or None, got {type(max_concurrency)}."
            )
        if max_concurrency < 1:
            raise ValueError(
                f"`max_concurrency` must be a positive or None, got {max_concurrency}."
            )
    if wanted is None:
        return min(num_envs, usable_cpus() if max_concurrency is None else int(max_concurrency))
    if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer)) or wanted < 0:
        raise ValueError(f"num_workers must be None or an integer >= 0, got {wanted!r}.")
    if max_concurrency is not None:
        wanted = min(wanted, max_concurrency)
    return min(num_envs, int(wanted))


def _choose_cpus(pin: Any) -> list[int] | None:
    if pin is False or pin is None:
        return None
    allowed = allowed_cpus()
    if pin is True:
        return allowed
    cpus = [int(cpu) for cpu in pin]
    if not cpus or not set(cpus) <= set(allowed):
        raise ValueError(f"pin must be True, False or CPUs among {allowed}, got {pin!r}.")
    return cpus


def pool_options(
    *,
    name: str,
    num_workers: int,
    autoreset_mode: int,
    context: str | None,
    daemon: bool,
    spin: float | None,
    pin: bool | Sequence[int],
    worker_env: Mapping[str, str | None] | None,
    step_loop: str,
    start_timeout: float | None,
    limits: Limits,
    on_unsendable: str,
    prelude: Any,
    restarts: RestartPolicy | None,
) -> PoolOptions:
    """Checks the arguments (see RingVectorEnv) and fills in defaults.

    Raises:
        ValueError: an argument has a value that it cannot have.
    """
    if step_loop not in ("compiled", "reference"):
        raise ValueError(f"step_loop must be 'compiled' or 'reference', got {step_loop!r}")
    if on_unsendable not in ("raise", "drop", "repr"):
        raise ValueError(f"on_unsendable must be 'raise', 'drop' or 'repr', got {on_unsendable!r}")
    if spin is not None and not spin >= 0:
        raise ValueError(f"spin must be None or seconds >= 0, got {spin!r}")
    environ: dict[str, str | None] = dict.fromkeys(VARIABLES, "1")
    environ.update(worker_env or {})
    threads = environ.get("OMP_NUM_THREADS")
    crowded = num_workers + 1 > usable_cpus()
    return PoolOptions(
        context=get_context(context),
        daemon=daemon,
        name=name,
        autoreset_mode=autoreset_mode,
        environ=environ,
        blas_threads=int(threads) if threads and threads.isdecimal() else None,
        cpus=_choose_cpus(pin),
        compiled=step_loop == "compiled",
        spin=SPIN if spin is None else spin,
        adaptive=spin is None,
        yield_every=4 if crowded else 32,
        start_timeout=start_timeout,
        limits=limits,
        on_unsendable=on_unsendable,
        prelude=prelude,
        restarts=restarts,
    )
