# SPDX-License-Identifier: MIT
"""The deaths of a pool's workers: noticed, and what follows."""

from __future__ import annotations

import contextlib
import select
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from envring.errors import EnvringError, WorkerTimeout, format_env_ids
from envring.pool import watching
from envring.pool.patience import Patience
from envring.pool.restarting import Restarts
from envring.workers import starting
from envring.workers.handle import WorkerHandle

if TYPE_CHECKING:
    from envring.pool.worker_pool import WorkerPool
    from envring.workers.options import Placement


class Deaths:
    """Looks for workers that died, or that take longer than they may.

    Attributes:
        error: what ended the pool; None while it goes on.
        patience: how long workers may take for a batch.
        restarts: starts other workers in the place of the dead; None: a death ends the pool.
    """

    def __init__(self, pool: WorkerPool) -> None:
        """Begins with no worker."""
        self.error: EnvringError | None = None
        self.patience = Patience(pool.options.limits)
        self.restarts: Restarts | None = None
        self._pool: WorkerPool = weakref.proxy(pool)  # it ends when nobody else holds it
        self._poll = select.poll()
        self._watched: dict[int, int] = {}  # pidfd by the worker's process id

    def replace(
        self, env_fns: Sequence[Callable[[], Any]], placements: Sequence[Placement]
    ) -> None:
        """Has workers that die from now on replaced, if the pool's options say so."""
        policy = self._pool.options.restarts
        if policy is not None:
            self.restarts = Restarts(self._pool, env_fns, placements, policy)

    def stop_restarts(self) -> None:
        """Has none replaced from now on: the pool is closed."""
        if self.restarts is not None and self.error is None:
            with contextlib.suppress(EnvringError):
                self.restarts.advance()  # one may be at work, and nobody looked
        restarts, self.restarts = self.restarts, None
        if restarts is not None and restarts.under_way and self.error is None:
            self.error = EnvringError("The vector env is closed while workers are started again.")

    # -- the watch --------------------------------------------------------------------------

    def expect(self, worker: WorkerHandle) -> None:
        """Looks for the end of a worker, too."""
        self._watched[worker.pid] = worker.pidfd
        self._poll.register(worker.pidfd, select.POLLIN)

    def forget(self, worker: WorkerHandle) -> None:
        """Does not look for the end of a worker any more, whose descriptors are still open."""
        self._poll.unregister(self._watched.pop(worker.pid))

    def watch(self) -> None:
        """Has the caller woken by the end of any worker that is looked for."""
        pool = self._pool
        assert pool.port is not None
        assert pool.segment is not None
        old = pool.port.watch
        if old is not None:
            watching.unwatch(old)
        watch = watching.watch(pool.segment, list(self._watched.values()))
        pool.port.watch = pool.belongings.watch = watch

    # -- what follows -----------------------------------------------------------------------

    def end(self, error: EnvringError) -> EnvringError:
        """Makes every later call raise the error."""
        self.error = error
        for path in self._pool.paths:
            path.block()  # it does not look for the dead
        return error

    def look(self) -> None:
        """Raises WorkerDied if a worker ended that is not replaced."""
        if not self._poll.poll(0):
            return
        for w, worker in enumerate(self._pool.workers):
            if worker.is_dead():
                self._lose(w, worker.death)

    def _lose(self, w: int, why: Callable[[], EnvringError]) -> None:
        if self.restarts is None:
            raise self.end(why())
        if not self.restarts.is_gone(w):
            self.restarts.bury(w, why())

    def look_for_late(self, sending_to: WorkerHandle | None = None) -> None:
        """Looks for the dead, and for those that took longer than they may: these are killed."""
        self.look()
        if self.restarts is not None:
            self.restarts.advance()
        pool, port = self._pool, self._pool.port
        assert port is not None
        if not self.patience.is_over(port.batch):
            return
        port.wait(0)  # counts what has come
        late = [sending_to] if sending_to else [w for w in pool.workers if port.owes(w.env_ids[0])]
        self.give_up(late, self.patience.name, self.patience.seconds)

    def give_up(self, late: Sequence[WorkerHandle], name: str, seconds: float | None) -> None:
        """Kills workers that took longer than they may. They are replaced, or an error says so."""
        pool, restarts = self._pool, self.restarts
        numbers = {id(worker): w for w, worker in enumerate(pool.workers)}
        if restarts is not None:
            late = [worker for worker in late if not restarts.is_missing(numbers[id(worker)])]
        if not late:
            return
        stacks = [(worker, worker.python_stack(starting.STACK_SECONDS)) for worker in late]
        for worker in late:
            worker.process.kill()
        if restarts is None:
            raise self.end(_too_late(stacks, name, seconds))
        for worker, stack in stacks:
            restarts.bury(numbers[id(worker)], _too_late([(worker, stack)], name, seconds))


def _too_late(
    stacks: Sequence[tuple[WorkerHandle, str]], name: str, seconds: float | None
) -> WorkerTimeout:
    env_ids = [env_id for worker, _ in stacks for env_id in worker.env_ids]
    return WorkerTimeout(
        f"{format_env_ids(env_ids)} did not finish a {name} within {seconds or 0:g} seconds "
        f"({name}_timeout), so their workers (pid {', '.join(str(w.pid) for w, _ in stacks)}) were "
        "killed. Close this vector env and make a new one.",
        env_ids,
        "\n".join(f"worker {w.pid}:\n{stack}" for w, stack in stacks if stack),
    )
