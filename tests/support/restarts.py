# SPDX-License-Identifier: MIT
"""Vector envs whose workers die and are started again."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envring.pool.restarting import Restarts
from envring.testing import CountingEnv, assert_same_batch
from support.processes import assert_gone


class Once:
    """Makes an env of another kind once, and counting ones ever after."""

    def __init__(self, path: Path, make: Callable[[], Any], index: int = 0) -> None:
        self.path, self.make = str(path), make
        self.after: Callable[[], Any] = lambda: CountingEnv(index, lengths=(10**6,))

    def __call__(self) -> Any:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return self.after()
        return self.make()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert_gone(pid, 20)


@contextlib.contextmanager
def killing(envs: Any, longest: float) -> Iterator[None]:
    """Kills workers meanwhile, one after 10 ms to `longest` seconds, as another thread."""
    stop = threading.Event()

    def killer() -> None:
        rng = np.random.default_rng(0)
        while not stop.wait(rng.uniform(0.01, longest)):
            workers = envs._batcher.pool.workers
            worker = workers[int(rng.integers(len(workers)))]
            if not worker.is_dead():
                with contextlib.suppress(ProcessLookupError):  # it ended just now by itself
                    os.kill(worker.pid, signal.SIGKILL)

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def assert_ended(results: Any, last: Any, rows: slice, mode: str) -> None:
    """The rows are ends of episodes that were lost, as the mode has them."""
    observations, rewards, terminations, truncations, infos = results
    assert_same_batch(rewards[rows], np.zeros_like(rewards[rows]))
    assert not terminations[rows].any()
    assert truncations[rows].all()
    told = np.zeros(len(rewards), bool)
    told[rows] = True
    for key in ("worker_restarted", "_worker_restarted"):
        assert_same_batch(infos[key], told)
    if mode != "SameStep":
        assert_same_batch(observations[rows], last[rows])
        assert "final_obs" not in infos
        return
    assert infos["_final_obs"][rows].all()
    assert_same_batch(np.stack(infos["final_obs"][rows].tolist()), last[rows])
    assert (observations[rows, 2:] == [0, -1]).all()  # of a reset


def slow_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the caller find new processes dead before it reads what they said."""
    advance = Restarts.advance

    def slowly(self: Any) -> None:
        advance(self)
        for successor in self._successors.values():
            if successor.worker is not None and not successor.built:
                successor.worker.wait_until_dead(20)

    monkeypatch.setattr(Restarts, "advance", slowly)
