# SPDX-License-Identifier: MIT
"""From env functions and constructor arguments to a pool whose envs are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from envring.errors import LauncherError
from envring.launchers.base import Launcher
from envring.pool.inline import InlinePool
from envring.pool.mixed import MixedPool
from envring.pool.options import choose_workers, pool_options
from envring.pool.placement import choose_launchers, place
from envring.pool.protocol import Pool
from envring.pool.worker_pool import WorkerPool
from envring.workers.limits import Limits

START_TIMEOUT = 600.0  # seconds until envs must be built, where nobody says otherwise


def open_pool(
    env_fns: Sequence[Callable[[], Any]],
    *,
    name: str,
    autoreset_mode: int,
    num_workers: int | None,
    max_concurrency: int | None,
    launcher: Launcher | str | None,
    context: str | None,
    daemon: bool,
    spin: float | None,
    pin: bool | Sequence[int],
    worker_env: Mapping[str, str | None] | None,
    step_loop: str,
    start_timeout: float | None,
    limits: Limits,
    on_unsendable: str,
) -> Pool:
    """Starts workers and waits until they have built their envs.

    `name` is that of the processes, before their number; `autoreset_mode` is NEXT_STEP, SAME_STEP
    or DISABLED of the worker package's loop. RingVectorEnv says what the other arguments mean.

    Raises:
        ValueError: an argument has a value that it cannot have.
        LauncherError: there is no such launcher, or it does not fit the number of workers.
        LaunchError: a worker could not be started, or could not build an env; the type says why.
        WorkerDied: a worker ended while it built its envs.
        Exception: whatever an env's constructor raised.
    """
    launchers = choose_launchers(env_fns, launcher)
    count = choose_workers(len(env_fns), num_workers, max_concurrency)
    placements = []
    if count:
        asked = num_workers is not None or max_concurrency is not None
        placements = place(launchers, count, asked)
    elif any(launchers):
        raise LauncherError(
            "num_workers=0 steps the envs in this process, but a launcher wants them in another "
            "interpreter. Leave one of them out."
        )
    options = pool_options(
        name=name,
        num_workers=len(placements),
        autoreset_mode=autoreset_mode,
        context=context,
        daemon=daemon,
        spin=spin,
        pin=pin,
        worker_env=worker_env,
        step_loop=step_loop,
        start_timeout=start_timeout,
        limits=limits,
        on_unsendable=on_unsendable,
    )
    if not placements:
        return InlinePool(env_fns, options)
    # each launcher's workers share memory among themselves only
    mixed = len({placement.launcher for placement in placements}) > 1
    pool = (MixedPool if mixed else WorkerPool)(env_fns, placements, options)
    pool.greet()
    return pool
