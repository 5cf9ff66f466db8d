# SPDX-License-Identifier: MIT
"""From env functions and constructor arguments to a pool whose envs are built."""

from __future__ import annotations

import logging
import multiprocessing
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from envring.errors import LauncherError
from envring.launchers.base import Launcher
from envring.launchers.sources import EnvSource
from envring.pool.dialling import Dialled, dial
from envring.pool.inline import InlinePool
from envring.pool.mixed import MixedPool
from envring.pool.options import choose_workers, pool_options
from envring.pool.placement import choose_launchers, place
from envring.pool.protocol import Pool
from envring.pool.reconnecting import ReconnectingPool
from envring.pool.remote import RemotePool
from envring.pool.remotes import as_clients, grouped, read, sourced, spread, start_hosts
from envring.pool.sharing import SharingPool
from envring.pool.vectors import number_rows
from envring.pool.worker_pool import WorkerPool
from envring.workers.limits import Limits, RestartPolicy
from envring.workers.options import Placement, PoolOptions

log = logging.getLogger("envring")

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
    remotes: int | str | None = None,
    prelude: Any = None,
    caller_steps: bool = False,
    vectors: bool = False,
    restarts: RestartPolicy | None = None,
) -> Pool:
    """Starts workers and waits until they have built their envs.

    `name` is that of the processes, before their number; `autoreset_mode` is NEXT_STEP, SAME_STEP
    or DISABLED of the worker package's loop. `prelude` is pickled with env_fns and unpickled before
    them, in workers that are not forked. `vectors`: whether env_fns may return vector envs.
    RingVectorEnv says what the other arguments mean.

    Raises:
        ValueError: an argument has a value that it cannot have.
        LauncherError: there is no such launcher, or it does not fit the number of workers.
        LaunchError: a worker could not be started, or could not build an env; the type says why.
        WorkerDied: a worker ended while it built its envs.
        Exception: whatever an env's constructor raised.
    """
    groups = grouped(env_fns, remotes)
    if len(groups) == 1:
        ((remotes, _),) = groups
    clients = as_clients(env_fns, remotes)
    if clients is not None:
        env_fns, remotes, launcher = clients, None, None  # as for hosts: it is their business
        groups = [(None, len(env_fns))]
        num_workers = len(env_fns) if num_workers is None else num_workers  # each waits for its own
        if "grpc" in sys.modules:  # its threads may run here, and do not survive a fork
            context = context or "forkserver"
    told = num_workers is not None or max_concurrency is not None
    there = choose_workers(len(env_fns), num_workers, max_concurrency) or None if told else None
    if remotes is not None:
        where = read(remotes)
        num_workers = where.local or num_workers
        if not where.addresses:
            log.info("remotes=%s: as %s", remotes, _as_command(env_fns, launcher))
    with ExitStack() as stack:
        hosts, local = _reach(env_fns, groups, start_timeout, stack)
        launchers = choose_launchers(env_fns[:local], launcher)
        count = choose_workers(local, num_workers, max_concurrency)
        placements = []
        if caller_steps:
            _assert_local(launchers, hosts)
            asked = num_workers is not None or max_concurrency is not None
            count = min(count if asked else max(count - 1, 1), local - 1)
            # one share more than there are workers: the caller's
            placements = place(launchers, count + 1, asked)[:count] if count > 0 else []
        elif count:
            asked = num_workers is not None or max_concurrency is not None
            placements = place(launchers, count, asked)
        elif any(launchers):
            raise LauncherError(
                "num_workers=0 steps the envs in this process, but a launcher wants them in "
                "another interpreter. Leave one of them out."
            )
        if restarts is not None:
            _assert_restartable(placements, hosts, restarts.every is not None)
        if any(placement.launcher is None for placement in placements):
            _assert_may_have_children()
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
            prelude=prelude,
            restarts=restarts,
        )
        pool: InlinePool | SharingPool | WorkerPool | MixedPool | RemotePool
        if not placements and not hosts:
            pool = InlinePool(env_fns, options)
        elif caller_steps:
            pool = SharingPool(env_fns, placements, options)
        else:
            pool = _start(env_fns, placements, options, hosts, there)
            stack.pop_all()
    pool.greet()
    try:
        if restarts is not None:
            _assert_programs_restart(pool)
        number_rows(pool, autoreset_mode, vectors)
    except BaseException:
        pool.abandon()
        raise
    return pool


def _assert_may_have_children() -> None:
    """Refuses to start workers in a process that multiprocessing lets start none."""
    process = multiprocessing.current_process()
    if process.daemon:
        raise LauncherError(
            f"{process.name} is a daemonic process of multiprocessing (as those of Pool, "
            "DataLoader, SubprocVecEnv and AsyncVectorEnv are), which may not start workers. Step "
            "the envs in it with num_workers=0; or give a launcher, whose workers are not those of "
            "multiprocessing (launcher='prefix:' + sys.prefix, with EnvSources); or make the "
            "process with daemon=False."
        )


def _assert_local(launchers: Sequence[Any], hosts: Sequence[Any]) -> None:
    if any(launchers) or hosts:
        raise LauncherError(
            "caller_steps=True steps some of the envs in this process, but a launcher or a host "
            "wants them elsewhere. Leave one of them out."
        )


def _assert_restartable(
    placements: Sequence[Placement],
    hosts: Sequence[tuple[Dialled, range]],
    every: bool,
) -> None:
    """Refuses what restarts cannot do."""
    what = None
    if hosts and every:
        what = "remotes= (restart_every=), whose workers belong to their host"
        advice = "Restart the host as often: on_worker_death='restart' connects to it again."
    elif any(dialled.dialled_out for dialled, _ in hosts):
        what = "hosts that dial out, which would have to dial again"
        advice = "Have the caller dial, if it can: remotes='tcp://...', or 'ssh://...'."
    elif not placements and not hosts:
        what = "num_workers=0, which has no workers"
        advice = "Give num_workers=1 or more."
    elif any(each.launcher is not None and each.launcher.named_segment for each in placements):
        what = "containers, whose workers find the shared memory by a name that is gone by then"
        advice = "Run `envring serve` in the container, and connect to it with remotes=."
    if what is not None:
        raise LauncherError(f"Restarts of workers cannot be combined with {what}. {advice}")


def _assert_programs_restart(pool: Pool) -> None:
    """Refuses programs without Python that would go on as if nothing had happened."""
    for each in pool.descriptions:
        if "spaces_json" in each and each.get("restarts") is not True:
            raise LauncherError(
                "Restarts of workers cannot be combined with this program (launcher=Program): "
                "after one it does not say what became of the episodes. Compile it again, with "
                "the envring_worker.hpp of this version; or leave one of them out."
            )


def _as_command(env_fns: Sequence[Callable[[], Any]], launcher: Launcher | str | None) -> str:
    """The command line that serves these envs to other machines."""
    first = env_fns[0]
    if isinstance(first, EnvSource):
        name = str(first.request()["env"])
    else:  # what `make_vec` has made of an id
        spec = next(iter(getattr(first, "args", ())), None)
        name = getattr(spec, "id", spec if isinstance(spec, str) else "ENV")
    words = ["envring", "serve", name, "--num-envs", str(len(env_fns))]
    if isinstance(launcher, str):
        words += ["--launcher", launcher]
    return shlex.join(words)


def _reach(
    env_fns: Sequence[Callable[[], Any]],
    groups: Sequence[tuple[int | str | None, int]],
    timeout: float | None,
    stack: ExitStack,
) -> tuple[list[tuple[Dialled, range]], int]:
    """Connects to hosts: each with the ids of its envs, and how many envs stay here."""
    hosts: list[tuple[Dialled, range]] = []
    at = local = 0
    for remotes, size in groups:
        if remotes is None:
            at = local = size
            continue
        where = read(remotes)
        fns = env_fns[at : at + size]
        names = dict.fromkeys(fn.request()["env"] for fn in fns if isinstance(fn, EnvSource))
        started = start_hosts(where.engines, list(names), timeout)
        for _, release in started:
            stack.callback(release)
        dialled = dial([*where.addresses, *(address for address, _ in started)], timeout)
        for each, (_, release) in zip(reversed(dialled), reversed(started), strict=False):
            each.release = release
        for each in dialled:
            stack.callback(each.link.close)
        first, *counts = spread(size, where.local, dialled)
        local += first  # before all others, of which there are none then
        at += first
        for each, count in zip(dialled, counts, strict=True):
            if count:
                hosts.append((each, range(at, at + count)))
            else:
                each.link.close()
                each.release()
            at += count
    for env_id, fn in enumerate(env_fns[local:], local):
        sourced(env_id, fn)
    return hosts, local


def _start(
    env_fns: Sequence[Callable[[], Any]],
    placements: Sequence[Placement],
    options: PoolOptions,
    hosts: Sequence[tuple[Dialled, range]],
    workers: int | None,
) -> WorkerPool | MixedPool | RemotePool:
    asked: list[RemotePool] = []
    try:
        for dialled, env_ids in hosts:
            sources = [
                fn for fn in env_fns[env_ids.start : env_ids.stop] if isinstance(fn, EnvSource)
            ]
            if options.restarts is None:
                asked.append(RemotePool(sources, env_ids, dialled, options, workers))
                continue
            others = [each.address for each, _ in hosts if each is not dialled]
            asked.append(ReconnectingPool(sources, env_ids, dialled, options, workers, others))
        if asked and (placements or len(asked) > 1):
            return MixedPool(env_fns, placements, options, asked)
        if asked:
            return asked[0]
        # each launcher's workers share memory among themselves only
        mixed = len({placement.launcher for placement in placements}) > 1
        return (MixedPool if mixed else WorkerPool)(env_fns, placements, options)
    except BaseException:
        for pool in asked:
            pool.abandon()
        raise
