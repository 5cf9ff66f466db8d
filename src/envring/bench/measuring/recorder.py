# SPDX-License-Identifier: MIT
"""The moments of each batch of a RingVectorEnv: when caller and workers did what."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from envring.api.guard import batcher_of
from envring.api.vector import RingVectorEnv
from envring.batch.observer import Observer

PARTS = ("env", "copying", "signalling", "waiting", "imbalance", "caller")

Moments = npt.NDArray[np.int64]

_CALLER, _WORKER = 4, 4  # words of CallerPort.moments: of the caller, and of each worker
_PATIENCE = 1.0  # seconds at most until the workers of the last batch have rung


@dataclass(frozen=True)
class Batches:
    """Consecutive batches: n of them, by w workers. Moments are ns of `time.monotonic`.

    Attributes:
        since: (n,) when the caller was free again: the end of the step before.
        called: (n,) when the step was called.
        handed: (n,) when its actions came in, not yet checked and copied.
        posted: (n,) when the commands were in all rings.
        rung: (n,) when all workers were rung.
        complete: (n,) when the caller saw the results of all of them.
        returned: (n,) when the step returned.
        copied: (n,) ns of handing out arrays, between complete and returned.
        env: (n, w) ns inside the envs.
        began: (n, w) when the first env was stepped.
        ended: (n, w) when the results were stored.
        finished: (n, w) when they were published and the caller was rung; 0 if unknown.
    """

    since: Moments
    called: Moments
    handed: Moments
    posted: Moments
    rung: Moments
    complete: Moments
    returned: Moments
    copied: Moments
    env: Moments
    began: Moments
    ended: Moments
    finished: Moments

    def parts(self) -> dict[str, float]:
        """Seconds by part; they add up to the time from `since` to `returned`.

        From `posted` to `complete` the parts follow the workers' mean: until they begin, while they
        step and store, and from there to the last of them.
        """
        begin = np.maximum((self.began - self.posted[:, None]).mean(1), 0.0)
        ends = self.ended - self.posted[:, None]
        end, last = ends.mean(1), ends.max(1)
        rows = np.arange(len(last))
        slowest = ends.argmax(1)
        env = self.env.mean(1)
        back = self.complete - self.posted - last
        signalling = np.minimum(self.rung - self.posted, begin)
        published = (self.finished - self.ended)[rows, slowest]
        ringing_back = np.clip(published, 0, np.maximum(back, 0))
        copying = self.posted - self.handed + self.copied
        nanoseconds = {
            "env": env,
            "copying": end - begin - env + copying,
            "signalling": signalling + ringing_back,
            "waiting": begin - signalling + back - ringing_back,
            "imbalance": last - end,
            "caller": self.handed - self.since + self.returned - self.complete - self.copied,
        }
        return {name: float(nanoseconds[name].sum()) * 1e-9 for name in PARTS}


class Recorder:
    """Steps a vector environment and keeps the moments of each batch.

    While it records (in its `with` block, which may be entered again), workers measure the time of
    each env's step. Only the latest batches are kept one by one.

    Args:
        envs: The vector environment, reset and with no call pending.
        capacity: How many batches to keep.

    Attributes:
        recording: Seconds that keeping the moments took, after each step's return.

    Raises:
        ValueError: It is closed, its `step_loop="reference"` does not measure times, or it mixes
            launchers.

    Example:
        >>> import gymnasium as gym
        >>> import envring
        >>> envs = envring.RingVectorEnv([lambda: gym.make("CartPole-v1")] * 4, num_workers=2)
        >>> _ = envs.reset(seed=42)
        >>> with Recorder(envs) as recorder:
        ...     for _ in range(10):
        ...         results = recorder.step([0, 1, 0, 1])
        >>> recorder.batches
        10
        >>> sorted(recorder.parts()) == sorted(PARTS)
        True
        >>> envs.close()
    """

    def __init__(self, envs: RingVectorEnv[Any, Any], capacity: int = 1024) -> None:
        """Allocates the rows."""
        batcher = batcher_of(envs)
        if batcher is None:
            raise ValueError("these envs are closed, so there is nothing to record")
        if not batcher.pool.compiled:
            raise ValueError('step_loop="reference" does not measure times; leave it out to record')
        port = getattr(batcher.pool, "port", None)  # none where envs are in this process
        if port is None and envs.num_workers:
            raise ValueError("envs of several launchers are several batches: record one launcher's")
        self.envs = envs
        self.recording = 0.0
        self._batcher = batcher
        self._before: Observer | None = None
        self._core = batcher.segment.core
        self._port = port
        self._workers = max(envs.num_workers, 1)
        width = _CALLER + _WORKER * self._workers
        self._rows = np.zeros((capacity, width), np.int64)
        self._views = list(self._rows)
        self._own: list[int] = []
        self._finished: dict[int, list[int]] = {}  # by row, if the next row does not tell
        self._count = self._folded = 0
        self._earlier: Batches | None = None
        self._totals = dict.fromkeys(PARTS, 0.0)
        self._env_before = self._env_ns()
        self._handed = self._copied = self._since = 0

    # -- recording --------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Begins to record."""
        self._before, self._batcher.observer = self._batcher.observer, self
        self._core.set_timed(True)
        self._since = 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the envs as they were."""
        if self._since:  # the caller's work after the last step belongs to it
            self._totals["caller"] += (time.monotonic_ns() - self._since) * 1e-9
        self._note_finish()
        self._core.set_timed(False)
        self._batcher.observer = self._before

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, Any]:
        """`RingVectorEnv.step`, recorded."""
        clock = time.monotonic_ns
        called = clock()
        self._copied = 0
        results = self.envs.step(actions)
        returned = clock()
        row = self._count
        if self._port is None:
            self._take_own(self._views[row])
        else:
            self._port.moments(self._views[row])
        since = self._since or called
        self._own += (since, called, self._handed, returned, self._copied)
        self._count = row + 1
        if self._count == len(self._views):
            self._fold()
        self._since = clock()
        self.recording += (self._since - returned) * 1e-9
        return results

    def step_started(self) -> None:
        """The batcher got the actions."""
        self._handed = time.monotonic_ns()

    def arrays_taken(self, nanoseconds: int) -> None:
        """The batcher handed arrays out."""
        self._copied += nanoseconds

    def _take_own(self, row: Moments) -> None:
        """The moments of a batch that was stepped in this process."""
        stats = self._core.stats(0)
        began, ended = stats["began_ns"], stats["ended_ns"]
        row[:] = self.batches, began, began, ended, stats["env_ns"], began, ended, 0

    def _env_ns(self) -> list[int]:
        return [self._core.stats(worker)["env_ns"] for worker in range(self._workers)]

    def _note_finish(self) -> None:
        """Keeps when the last batch was finished, which otherwise the next batch tells."""
        if not self._count or self._port is None:
            return
        ended = self._views[self._count - 1][_CALLER + 2 :: _WORKER]
        deadline = time.monotonic() + _PATIENCE
        while True:
            finished = [self._core.stats(w)["finished_ns"] for w in range(self._workers)]
            if all(finished > ended) or time.monotonic() > deadline:
                break
        self._finished[self._count - 1] = finished

    # -- what was recorded ------------------------------------------------------------------------

    def _fold(self) -> None:
        """Adds the kept batches to the totals and clears the rows."""
        batches = self._kept()
        if batches is None:
            return
        for name, seconds in batches.parts().items():
            self._totals[name] += seconds
        self._folded += self._count
        self._earlier = batches
        self._env_before = [int(total) for total in self._rows[self._count - 1, _CALLER::_WORKER]]
        self._own.clear()
        self._finished.clear()
        self._count = 0

    def _kept(self) -> Batches | None:
        count = self._count
        if not count:
            return None
        own = np.array(self._own, np.int64).reshape(count, 5)
        rows = self._rows[:count].copy()
        workers = rows[:, _CALLER:].reshape(count, self._workers, _WORKER)
        finished = np.zeros((count, self._workers), np.int64)
        told = np.diff(rows[:, 0]) == 1  # by the next one, if nothing came between
        finished[:-1][told] = workers[1:, :, 3][told]
        for row, moments in self._finished.items():
            finished[row] = moments
        return Batches(
            since=own[:, 0],
            called=own[:, 1],
            handed=own[:, 2],
            posted=rows[:, 1],
            rung=rows[:, 2],
            complete=rows[:, 3],
            returned=own[:, 3],
            copied=own[:, 4],
            env=np.diff(workers[:, :, 0], axis=0, prepend=[self._env_before]),
            began=workers[:, :, 1],
            ended=workers[:, :, 2],
            finished=finished,
        )

    @property
    def batches(self) -> int:
        """How many batches were recorded."""
        return self._folded + self._count

    def latest(self) -> Batches | None:
        """The latest batches one by one, at most `capacity`; None if there are none."""
        kept, earlier = self._kept(), self._earlier
        if kept is None or earlier is None:
            return kept or earlier
        joined = {
            name: np.concatenate((getattr(earlier, name), values))[-len(self._views) :]
            for name, values in vars(kept).items()
        }
        return Batches(**joined)

    def parts(self) -> dict[str, float]:
        """Seconds by part of all that was recorded.

        Raises:
            ValueError: No batch was recorded, or a worker did not tell how long its envs took.
        """
        self._fold()
        if self._earlier is None:
            raise ValueError("no batch was recorded: step within the recorder's `with` block")
        silent = [w for w, total in enumerate(self._env_before) if not total]
        if silent:
            raise ValueError(
                f"worker {silent[0]} steps its envs in plain Python (its interpreter cannot run "
                "the compiled step loop), which does not measure times"
            )
        return dict(self._totals)
