# SPDX-License-Identifier: MIT
"""What the workers of a pool have done so far, in numbers."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from envring.pool.inline import InlinePool
from envring.pool.reconnecting import ReconnectingPool
from envring.pool.remote import RemotePool
from envring.pool.worker_pool import WorkerPool
from envring.workers.foreign import ForeignWorker
from envring.workers.handle import WorkerHandle

_COUNTERS = (
    *("batches", "env_steps", "step_seconds", "wait_seconds", "spin_seconds"),
    *("spins", "sleeps", "slow_rows", "restarts", "planned_restarts"),
)


@dataclass(frozen=True)
class WorkerStats:
    """What one worker has done: totals, or those of a stretch of time (`Stats.since`).

    None stands for what is unknown: of a host almost everything is, and of envs that the calling
    process steps itself all but their ids and its memory. The worker writes its numbers into
    shared memory itself. So an env that overwrites memory can make them wrong, but nothing else.

    Attributes:
        env_ids: the envs it holds.
        pid: its process, as it was started: of a worker in a container the engine's command.
        host: address of the host that holds the envs, or None.
        seconds: time that the numbers cover.
        batches: batches that it stepped, without resets. An env that was sent by itself is one.
        env_steps: steps of its envs.
        step_seconds: time in which it stepped and stored results.
        wait_seconds: time in which it waited for commands, spinning and asleep. A wait that is
            under way does not count, of one beyond a quarter of a second only the end.
        spin_seconds: the part of wait_seconds in which it was awake.
        spins: waits that ended while it was spinning.
        sleeps: waits in which it went to sleep; one counts again after a quarter of a second.
        slowest_env: the env whose step took longest. The time of one env is taken in each batch
            (of short ones in one of 16), in turn, without ends of episodes; this is of the last
            round over all of them. None: no round is over yet, or the worker does without the
            compiled step loop.
        slowest_seconds: how long its step took.
        slow_rows: results that the compiled step loop left to Python; 0 without that loop.
        restarts: how often it was started again after a death (`on_worker_death="restart"`). All
            numbers go on from where they were then.
        planned_restarts: how often it was replaced between episodes (`restart_every`).
        memory: resident bytes of the process and of those that it started, now. Memory that
            processes share counts in each of them.
    """

    env_ids: tuple[int, ...]
    pid: int | None = None
    host: str | None = None
    seconds: float = 0.0
    batches: int | None = None
    env_steps: int | None = None
    step_seconds: float | None = None
    wait_seconds: float | None = None
    spin_seconds: float | None = None
    spins: int | None = None
    sleeps: int | None = None
    slow_rows: int | None = None
    slowest_env: int | None = None
    slowest_seconds: float | None = None
    restarts: int = 0
    planned_restarts: int = 0
    memory: int | None = None

    @property
    def steps_per_second(self) -> float | None:
        """Steps of its envs per second."""
        return _ratio(self.env_steps, self.seconds)

    @property
    def step_share(self) -> float | None:
        """Share of the time in which it stepped, from 0 to 1."""
        return _ratio(self.step_seconds, self.seconds)

    @property
    def wait_share(self) -> float | None:
        """Share of the time in which it waited. The rest went into resets, calls and replies."""
        return _ratio(self.wait_seconds, self.seconds)

    @property
    def spin_share(self) -> float | None:
        """Share of the time in which it spun; a part of `wait_share`."""
        return _ratio(self.spin_seconds, self.seconds)

    def since(self, earlier: WorkerStats) -> WorkerStats:
        """The numbers of the time between two looks at the same worker.

        Its memory and its slowest env are those of the later look.
        """
        past = {name: _less(getattr(self, name), getattr(earlier, name)) for name in _COUNTERS}
        return replace(self, seconds=self.seconds - earlier.seconds, **past)


@dataclass(frozen=True)
class Stats:
    """What the workers of a vector env have done: totals, or those of a stretch of time.

    Attributes:
        seconds: time that the numbers cover; in totals, since the envs were built.
        workers: one per worker, in the order of their envs; then one per host, and one for the
            envs that the calling process steps itself.
        caller_spins: waits of the calling process that ended while it was spinning, or None.
        caller_sleeps: those in which it went to sleep.
    """

    seconds: float
    workers: tuple[WorkerStats, ...]
    caller_spins: int | None = None
    caller_sleeps: int | None = None

    @property
    def env_steps(self) -> int:
        """Steps of all envs whose workers count them."""
        return sum(each.env_steps or 0 for each in self.workers)

    @property
    def steps_per_second(self) -> float | None:
        """Steps of these envs per second."""
        return _ratio(self.env_steps, self.seconds)

    @property
    def memory(self) -> int | None:
        """Resident bytes of all workers of this machine, or None."""
        return _sum(each.memory for each in self.workers)

    def since(self, earlier: Stats) -> Stats:
        """The numbers of the time between two looks at the same vector env.

        Raises:
            ValueError: they are not of the same vector env.
        """
        if [each.env_ids for each in self.workers] != [each.env_ids for each in earlier.workers]:
            raise ValueError("These are the stats of two vector envs.")
        pairs = zip(self.workers, earlier.workers, strict=True)
        return Stats(
            self.seconds - earlier.seconds,
            tuple(now.since(then) for now, then in pairs),
            _less(self.caller_spins, earlier.caller_spins),
            _less(self.caller_sleeps, earlier.caller_sleeps),
        )


def read(pool: Any, since: float) -> Stats:
    """The numbers of a pool that was attached at `since`, of time.monotonic()."""
    seconds = time.monotonic() - since
    waits = [port.wait_stats() for port in _ports(pool)]
    return Stats(
        seconds,
        tuple(replace(each, seconds=seconds) for each in _workers(pool)),
        _sum(spins for spins, _, _ in waits),
        _sum(sleeps for _, sleeps, _ in waits),
    )


def _ports(pool: Any) -> list[Any]:
    if isinstance(pool, WorkerPool):
        return [pool.port]
    return [port for part in getattr(pool, "parts", ()) for port in _ports(part.pool)]


def _workers(pool: Any) -> list[WorkerStats]:
    """Those of each span."""
    if isinstance(pool, WorkerPool):
        return [_of_worker(pool, w, worker) for w, worker in enumerate(pool.workers)]
    env_ids = tuple(range(*pool.spans[0]))
    if isinstance(pool, RemotePool):
        restarts = pool.restarts.number if isinstance(pool, ReconnectingPool) else 0
        return [WorkerStats(env_ids, host=str(pool.address), restarts=restarts)]
    if isinstance(pool, InlinePool):
        return [WorkerStats(env_ids, os.getpid(), memory=memory(os.getpid()))]
    found: dict[int, WorkerStats] = {}
    for part in pool.parts:
        found.update(zip(part.which, _workers(part.pool), strict=True))
    return [found[number] for number in sorted(found)]


def _of_worker(pool: WorkerPool, w: int, worker: WorkerHandle) -> WorkerStats:
    assert pool.segment is not None
    in_container = isinstance(worker, ForeignWorker) and worker.launch.stop_argv is not None
    restarts = pool.restarts
    stats = WorkerStats(
        worker.env_ids,
        worker.pid,
        memory=None if in_container or worker.is_dead() else memory(worker.pid),
        **({} if restarts is None else restarts.counts(w)),
    )
    if w in pool.relays:  # it cannot write them
        return stats
    return counted(stats, pool.segment.core.stats(w))


def counted(stats: WorkerStats, words: Mapping[str, int]) -> WorkerStats:
    """With the numbers that the worker wrote into its segment."""
    slowest, slowest_ns = words["slowest"], words["slowest_ns"]
    known = slowest_ns > 0 and slowest < len(stats.env_ids)  # an env may have written anything
    return replace(
        stats,
        batches=words["batches"],
        env_steps=words["env_steps"],
        step_seconds=words["busy_ns"] * 1e-9,
        wait_seconds=words["wait_ns"] * 1e-9,
        spin_seconds=words["spin_ns"] * 1e-9,
        spins=words["spins"],
        sleeps=words["parks"],
        slow_rows=words["slow_rows"],
        slowest_env=stats.env_ids[slowest] if known else None,
        slowest_seconds=slowest_ns * 1e-9 if known else None,
    )


def memory(pid: int) -> int | None:
    """Resident bytes of a process and of those that it started, or None if they are unknown."""
    total = None
    waiting = [pid]
    page = os.sysconf("SC_PAGE_SIZE")
    while waiting:
        process = Path(f"/proc/{waiting.pop()}")
        with contextlib.suppress(OSError, ValueError, IndexError):
            total = (total or 0) + int((process / "statm").read_text().split()[1]) * page
            for thread in (process / "task").iterdir():
                with contextlib.suppress(OSError):  # it ended, or the kernel does not tell
                    waiting += map(int, (thread / "children").read_text().split())
    return total


def _ratio(amount: float | None, seconds: float) -> float | None:
    return None if amount is None or seconds <= 0 else amount / seconds


def _less(now: Any, then: Any) -> Any:
    return None if now is None or then is None else now - then


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
