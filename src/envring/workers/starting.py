# SPDX-License-Identifier: MIT
"""From placements to workers that have built their envs and mapped the segment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from envring.errors import EnvringError, LaunchError, RemoteTraceback, WorkerTimeout, format_env_ids
from envring.launchers.base import Launch, Launcher
from envring.launchers.sources import EnvSource
from envring.transport.advice import advise_process_each
from envring.transport.channel import ChannelClosed
from envring.transport.exceptions import remote_error
from envring.transport.segment import MappedSegment, SegmentFile, attachment
from envring.workers import blas, foreign, local
from envring.workers.descriptors import make_room
from envring.workers.foreign import ForeignWorker
from envring.workers.forking import warn_of_hazards
from envring.workers.handle import WorkerHandle
from envring.workers.lifeline import Lifeline
from envring.workers.options import Placement, PoolOptions, WorkerOptions
from envring.workers.seeding import next_seeds

_look: ContextVar[Callable[[], None] | None] = ContextVar("look", default=None)

STACK_SECONDS = 1.0  # for a worker that took too long to say where it is


def needs_name(placements: Sequence[Placement]) -> bool:
    """Whether some worker can find the segment by a name only."""
    return any(p.launcher is not None and p.launcher.named_segment for p in placements)


def _prepare(
    env_fns: Sequence[Callable[[], Any]],
    placements: Sequence[Placement],
    options: PoolOptions,
    segment_file: SegmentFile,
) -> list[Launch | None]:
    """Lets launchers prepare what they start, before any process is started."""
    sources: dict[Launcher, list[EnvSource]] = {}
    for placement in placements:
        if placement.launcher is not None:
            sources.setdefault(placement.launcher, []).extend(_sources(env_fns, placement))
    launches: list[Launch | None] = []
    done: dict[Launcher, Launch] = {}
    for placement in placements:
        launcher = placement.launcher
        if launcher is None:
            launches.append(None)
            continue
        # a command that stops one worker belongs to that worker alone
        if launcher not in done or done[launcher].stop_argv is not None:
            done[launcher] = foreign.prepare(
                launcher,
                sources[launcher],
                dict(options.environ),
                segment_file.path if launcher.named_segment else None,
            )
        launches.append(done[launcher])
    return launches


def _sources(env_fns: Sequence[Callable[[], Any]], placement: Placement) -> list[EnvSource]:
    found = [env_fns[env_id] for env_id in placement.env_ids]
    return [fn for fn in found if isinstance(fn, EnvSource)]


def start_workers(
    workers: list[WorkerHandle],
    env_fns: Sequence[Callable[[], Any]],
    placements: Sequence[Placement],
    options: PoolOptions,
    lifeline: Lifeline,
    segment_file: SegmentFile,
) -> None:
    """Starts one worker per placement and adds it to `workers`, so that no failure loses one.

    Raises:
        LaunchError: a launcher cannot do it; the type says why.
        EnvFnError: env_fns cannot be sent to a worker.
    """
    make_room(len(placements))
    launches = _prepare(env_fns, placements, options, segment_file)
    forks = options.context.get_start_method() == "fork"
    if None in launches and forks:
        warn_of_hazards(options.blas_threads)
    with blas.limited(options.blas_threads):
        for w, (placement, launch) in enumerate(zip(placements, launches, strict=True)):
            with local.without_interrupts(forks and launch is None):  # until it can be ended
                workers.append(
                    _start(w, env_fns, placement, launch, options, lifeline, segment_file.fd)
                )


def start_another(
    keep: Callable[[WorkerHandle], None],
    w: int,
    env_fns: Sequence[Callable[[], Any]],
    placement: Placement,
    options: PoolOptions,
    lifeline: Lifeline,
    segment_file: SegmentFile,
    segment_fd: int,
) -> None:
    """Starts another worker number w and gives it to `keep`; see `start_workers`."""
    (launch,) = _prepare(env_fns, [placement], options, segment_file)
    forks = options.context.get_start_method() == "fork" and launch is None
    with blas.limited(options.blas_threads), local.without_interrupts(forks):
        keep(_start(w, env_fns, placement, launch, options, lifeline, segment_fd))


def _start(
    w: int,
    env_fns: Sequence[Callable[[], Any]],
    placement: Placement,
    launch: Launch | None,
    options: PoolOptions,
    lifeline: Lifeline,
    segment_fd: int,
) -> WorkerHandle:
    cpus, number = options.cpus, placement.number
    name = f"{options.name}-{number}"
    worker_options = WorkerOptions(
        index=w,
        first_env=placement.env_ids[0],
        autoreset_mode=options.autoreset_mode,
        environ=options.environ,
        cpu=None if cpus is None else cpus[number % len(cpus)],
        blas_threads=options.blas_threads,
        seeds=next_seeds(),
        compiled=options.compiled,
        spin=options.spin,
        adaptive=options.adaptive,
        yield_every=options.yield_every,
        on_unsendable=options.on_unsendable,
    )
    if launch is not None:
        sources = _sources(env_fns, placement)
        return foreign.start(launch, name, worker_options, sources, lifeline, segment_fd)
    return local.start(
        options.context,
        options.daemon,
        name,
        worker_options,
        [env_fns[env_id] for env_id in placement.env_ids],
        lifeline,
        options.prelude,
    )


@contextmanager
def looking(look: Callable[[], None]) -> Iterator[None]:
    """Has `look` be called now and then while envs are built; what it raises ends that."""
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


def greet(workers: Sequence[WorkerHandle], timeout: float | None) -> list[dict[str, Any]]:
    """Waits until every worker has built its envs, and returns their descriptions.

    Raises:
        HandshakeError: what a launcher started is not a worker.
        WorkerDied: a worker ended while it built its envs.
        LaunchError: an env could not be built and its error cannot travel.
        WorkerTimeout: time was up.
        Exception: whatever an env's constructor raised.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    look = _look.get()
    for worker in workers:
        if isinstance(worker, ForeignWorker):
            worker.greet(_left(deadline), look)
    return [expect(worker, "ready", deadline, timeout, look)[1] for worker in workers]


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(deadline - time.monotonic(), 0.0)


def attach(
    workers: Sequence[WorkerHandle],
    segment: MappedSegment,
    plans: Mapping[str, Any],
    segment_file: SegmentFile,
    timeout: float | None,
) -> None:
    """Gives every worker the segment and waits until each has it.

    Raises:
        WorkerDied: a worker ended.
        WorkerTimeout: time was up.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    for worker in workers:
        give(worker, segment, plans, segment_file)
    for worker in workers:
        expect(worker, "attached", deadline, timeout)
    segment_file.unlink()


def give(
    worker: WorkerHandle,
    segment: MappedSegment,
    plans: Mapping[str, Any],
    segment_file: SegmentFile,
) -> None:
    """Gives a worker the segment; it answers "attached".

    Raises:
        WorkerDied: it ended.
    """
    told = {**plans, "first_env": worker.env_ids[0]}  # which vector envs may have changed
    try:
        if isinstance(worker, ForeignWorker):
            path = worker.mapped_path(segment_file.path)
            worker.channel.send(("attach", attachment(segment, path), told))
        else:
            worker.channel.send(("attach", segment.spec, told))
            worker.channel.send_fd(segment.fd)
    except ChannelClosed:
        worker.wait_until_dead(1.0)
        raise worker.death() from None


def expect(
    worker: WorkerHandle,
    name: str,
    deadline: float | None,
    timeout: float | None,
    look: Callable[[], None] | None = None,
) -> tuple[Any, ...]:
    """The worker's next message, which must be of that name. The deadline is of them all."""

    def on_slice() -> None:
        if look is not None:
            look()
        if worker.is_dead():
            raise ChannelClosed

    try:
        try:
            message: tuple[Any, ...] = worker.channel.receive(_left(deadline), on_slice)
        except ChannelClosed:
            # It may have sent the reason before it ended.
            message = worker.channel.receive(0.0)
    except ChannelClosed:
        worker.wait_until_dead(1.0)
        raise _death(worker) from None
    except TimeoutError:
        if worker.is_dead():
            raise _death(worker) from None
        raise WorkerTimeout(
            f"The worker of {format_env_ids(worker.env_ids)} was not ready within {timeout:g} "
            "seconds. Raise start_timeout, or see what the constructors of these envs wait for.",
            worker.env_ids,
            worker.python_stack(STACK_SECONDS),
        ) from None
    if isinstance(worker, ForeignWorker):
        return worker.check(message, name)
    if message[0] == "failed":
        _, env_id, data, text, trace = message
        error = remote_error(f"env {env_id}", data, text, trace)
        if error is None:
            error = LaunchError(f"Env {env_id} could not be built: {text}")
            error.__cause__ = RemoteTraceback(trace)
        advise_process_each(error, env_id, worker.env_ids[0])
        raise error
    if message[0] != name:
        raise LaunchError(f"a worker sent {message[0]!r} where {name!r} was expected")
    return message


def _death(worker: WorkerHandle) -> EnvringError:
    """Why a worker ended before it had built its envs."""
    died = worker.death()
    if worker.foreign or died.exitcode != local.REIMPORTED:
        return died
    script = getattr(sys.modules["__main__"], "__file__", "the main module")
    return LaunchError(
        f"{script} starts workers when it is imported, and workers that are not forked import it. "
        "Put what it does under `if __name__ == '__main__':`, or pass context='fork'."
    )
