# SPDX-License-Identifier: MIT
"""The end of a pool: closed, or let go by whoever does not close it.

Workers that are let go see that this process has dropped its end of their lifeline and channel,
close their envs and leave: the same that happens when this process is killed. Those that take too
long get SIGTERM, then SIGKILL.
"""

from __future__ import annotations

import atexit
import multiprocessing.util  # noqa: F401 (its exit handler joins workers: ours has to run before)
import os
import time
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envring.core import _core
from envring.errors import EnvringError, format_env_ids
from envring.pool import watching
from envring.pool.reply import Reply
from envring.transport.channel import ChannelClosed
from envring.transport.published import Publication
from envring.transport.segment import SegmentFile
from envring.workers.handle import WorkerHandle
from envring.workers.lifeline import Lifeline

if TYPE_CHECKING:
    from envring.pool.worker_pool import WorkerPool

CLOSE_SECONDS = 30.0  # that plain `close` gives a pending call and the envs' `close` together
LEAVE_SECONDS = 0.9  # for workers that are let go; their own watcher kills them after GRACE
_TERM_SECONDS = 0.3  # between SIGTERM and SIGKILL


@dataclass(eq=False)
class Belongings:
    """What a pool leaves behind if nobody ends it."""

    workers: list[WorkerHandle]
    beside: dict[int, WorkerHandle]  # started in advance, to take the place of one of these
    lifeline: Lifeline
    segment_file: SegmentFile
    pid: int
    ended: bool = False
    watch: _core.DeathWatch | None = None
    published: Publication | None = None
    finalizer: weakref.finalize[..., WorkerPool] | None = None

    @property
    def processes(self) -> list[WorkerHandle]:
        """All of them."""
        return [*self.workers, *self.beside.values()]

    def let_go(self) -> None:
        """Tells the workers to close their envs and leave."""
        self.lifeline.close()
        for worker in self.processes:
            worker.channel.close()

    def release(self) -> None:
        """Gives back what is left when the workers have ended."""
        if self.watch is not None:
            watching.unwatch(self.watch)  # before its descriptors are closed
            self.watch = None
        if self.published is not None:
            self.published.remove()
        for worker in self.processes:
            worker.release()
        self.lifeline.close()
        self.segment_file.close()
        self.ended = True
        if self.finalizer is not None:
            self.finalizer.detach()
        _living.discard(self)


_living: set[Belongings] = set()


def register(
    pool: WorkerPool, workers: list[WorkerHandle], lifeline: Lifeline, segment_file: SegmentFile
) -> Belongings:
    """Has the workers end with the pool, or with the interpreter, if nobody closes them."""
    belongings = Belongings(workers, {}, lifeline, segment_file, os.getpid())
    _living.add(belongings)
    belongings.finalizer = weakref.finalize(pool, _abandon, [belongings])
    belongings.finalizer.atexit = False  # `_at_exit` ends all of them at once
    return belongings


@dataclass
class Closing:
    """What became of envs that were to be closed.

    Attributes:
        waited: how long they had, in words.
        killed: workers that had to be killed: their envs, and their process ids.
        raised: envs whose `close` raised: (env, text, traceback).
    """

    waited: str = ""
    killed: Sequence[tuple[Sequence[int], int]] = ()
    raised: Sequence[tuple[int, str, str]] = ()

    def warn(self, where: str = "", stacklevel: int = 3) -> None:
        """Warns of what did not go well. `where` the processes were, if not on this machine."""
        for env_id, text, trace in self.raised:
            warnings.warn(
                f"Env {env_id} raised in close(): {text}\n{trace}",
                RuntimeWarning,
                stacklevel=stacklevel,
            )
        if self.killed:
            names = " and ".join(
                f"the worker of {format_env_ids(env_ids)} (pid {pid}{where})"
                for env_ids, pid in self.killed
            )
            warnings.warn(
                f"close() had to kill {names}: not all of their envs were closed {self.waited} "
                "after they were asked to. What these envs have started may still run.",
                RuntimeWarning,
                stacklevel=stacklevel,
            )


def close(pool: WorkerPool, timeout: float | None, terminate: bool) -> Closing:
    """Closes the envs and ends the workers; a dead worker is not an error here.

    Args:
        pool: the pool.
        timeout: seconds for the envs to close, CLOSE_SECONDS if it is None.
        terminate: end the processes at once, without closing the envs.
    """
    belongings = pool.belongings
    if belongings.ended:
        return Closing()
    seconds = CLOSE_SECONDS if timeout is None else timeout
    deadline = time.monotonic() + seconds
    reply: Reply | None = None
    late: list[WorkerHandle] = []
    asked = False
    beside = list(belongings.beside.values())
    for worker in beside:
        worker.channel.close()  # they have nothing to do, and leave
    leave = time.monotonic() + LEAVE_SECONDS
    try:
        if not terminate and pool.can_be_asked:
            asked, reply = _close_envs(pool, deadline)
    finally:
        if not terminate and not asked:
            belongings.let_go()
            deadline = time.monotonic() + LEAVE_SECONDS
        if not terminate:
            late = _wait(belongings.workers, max(deadline, time.monotonic() + 0.05))
            _wait(beside, leave)  # one that is still building its envs is not worth a warning
        _end(belongings.processes, 0.5 if terminate else _TERM_SECONDS)
        belongings.release()
        pool.forget_death()
        if pool.segment is not None:
            pool.segment.close_fd()
    closing = Closing(f"{seconds:.3g} seconds" if asked else "a second")
    closing.killed = [(worker.env_ids, worker.pid) for worker in late]
    if reply is not None:
        closing.raised = [(env_id, text, trace) for env_id, _, _, text, trace in reply.failures]
    return closing


def _close_envs(pool: WorkerPool, deadline: float) -> tuple[bool, Reply | None]:
    """Whether all workers have the message, and what they answered in time."""
    try:
        pool.start([("close",)] * len(pool.workers))
    except (EnvringError, ChannelClosed):
        return False, None  # one of them died: the others are let go
    try:
        return True, pool.collect() if _is_answered(pool, deadline) else None
    except (EnvringError, ChannelClosed):
        return True, None


def _is_answered(pool: WorkerPool, deadline: float) -> bool:
    """Waits for the answers. Workers that have answered end, so an end is not an error."""
    if pool.relays:
        return pool.wait(deadline)
    port = pool.port
    assert port is not None
    port.watch = None  # every end would wake this one
    while True:
        state = port.wait(int(deadline * 1e9))
        if state == _core.COMPLETE:
            return True
        if state == _core.RANG:
            pool.drain()
        elif time.monotonic() >= deadline or all(worker.is_dead() for worker in pool.workers):
            return bool(port.wait(0) == _core.COMPLETE)


def abandon(pool: WorkerPool) -> None:
    """Ends a pool that nobody closed, within about a second; its envs are closed where possible."""
    _abandon([pool.belongings])
    pool.forget_death()
    if pool.segment is not None:
        pool.segment.close_fd()


def _abandon(several: Sequence[Belongings]) -> None:
    # in a forked copy of this process the workers are not ours
    ours = [one for one in several if one.pid == os.getpid() and not one.ended]
    workers = [worker for one in ours for worker in one.processes]
    try:
        for one in ours:
            one.let_go()
        _wait(workers, time.monotonic() + LEAVE_SECONDS)
    finally:  # Ctrl-C ends the patience
        _end(workers, _TERM_SECONDS)
        for one in ours:
            one.release()


def _wait(workers: Sequence[WorkerHandle], deadline: float) -> list[WorkerHandle]:
    """Waits for the workers' ends; those that still run at the deadline."""
    return [
        worker
        for worker in workers
        if not worker.wait_until_dead(max(deadline - time.monotonic(), 0.0))
    ]


def _end(workers: Sequence[WorkerHandle], patience: float) -> None:
    """Ends what still runs: SIGTERM to all, and SIGKILL after so many seconds."""
    for worker in workers:
        if not worker.is_dead():
            worker.process.terminate()
    deadline = time.monotonic() + patience
    for worker in workers:
        worker.stop(deadline)


def _at_exit() -> None:
    _abandon(list(_living))


atexit.register(_at_exit)
