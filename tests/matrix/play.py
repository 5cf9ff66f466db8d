# SPDX-License-Identifier: MIT
"""Plays one cell of the table, and tells what came of it."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from envring import WorkerDied, WorkerRestarted, WorkerTimeout
from envring.errors import EnvringError
from envring.testing import assert_same_batch
from matrix.table import HANG, START, Cell
from support.processes import alive, wait_until

NUM_ENVS = 4
THEIRS = slice(2, NUM_ENVS)  # the envs of the worker that comes to grief
LIMIT = 1.0  # seconds of what hangs
DIES = ("SIGKILL", "SIGSEGV", "SIGTERM", "os._exit(0)")


def arm(folder: Path, place: str, how: str) -> None:
    """Has this go wrong there, once."""
    (folder / "new").write_text(how)
    (folder / "new").rename(folder / place)


def told(error: BaseException) -> str:
    """An error, by what a caller may rely on."""
    name = type(error).__name__
    if isinstance(error, WorkerDied):
        how = f"signal {error.signal}" if error.signal is not None else f"exit {error.exitcode}"
        return f"{name}{error.env_ids} {how}"
    if isinstance(error, WorkerTimeout):
        return f"{name}{error.env_ids}"
    text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, EnvringError) and not hasattr(error, "remote_type"):
        return name
    kind = getattr(error, "remote_type", "") or name
    assert "env 3" in text or "Env 3" in text, f"{name} does not name env 3: {text}"
    return f"{kind} of env 3"


class Watched:
    """A vector env all of whose results are known."""

    def __init__(self, envs: Any, theirs: slice) -> None:
        """Begins before the first reset; `theirs` are the rows that a death takes along."""
        self.envs, self.theirs = envs, theirs
        self.told_so = [i in range(NUM_ENVS)[theirs] for i in range(NUM_ENVS)]
        self.said: list[str] = []
        self.broken: BaseException | None = None
        self.ended = False  # theirs: the next step resets them
        self.lost = False  # the next step is their end
        self.last = np.zeros((NUM_ENVS, 3), np.float32)

    def say(self, what: str) -> None:
        """Tells something that is otherwise than without a fault."""
        self.said.append(what)

    def attempt(self, name: str, operation: Callable[[], None]) -> None:
        """An operation, and what it raises."""
        try:
            operation()
        except AssertionError:
            raise
        except WorkerRestarted as error:
            self.say(f"{name}: {told(error)}")
            self.lost = True
        except (WorkerDied, WorkerTimeout) as error:
            if self.broken is None:
                self.say(f"{name}: {told(error)}")
                self.broken = error
            elif told(error) != told(self.broken):
                self.say(f"{name}, later: {told(error)}")
        except BaseException as error:
            self.say(f"{name}: {told(error)}")
            self.reset()  # it goes on
        else:
            assert self.broken is None, f"{name} is done, after {self.broken}"

    def reset(self) -> None:
        """A reset, and whether it was one."""
        observations, infos = self.envs.reset(seed=5)
        expected = np.array([[i, 0, -1] for i in range(NUM_ENVS)], np.float32)
        assert_same_batch(observations, expected)
        if "worker_restarted" in infos:
            assert infos["worker_restarted"].tolist() == self.told_so
            self.say("reset: restarted")
        self.last, self.ended, self.lost = expected, False, False

    def step(self) -> None:
        """A step, and whether it was one, or the end of theirs and nobody else's."""
        results = self.envs.step(np.full(NUM_ENVS, 5))
        observations, rewards, terminations, truncations, infos = results
        expected = self.last.copy()
        expected[:, 1] += 1
        expected[:, 2] = 5
        if self.ended:
            expected[self.theirs, 1:] = [0, -1]
        told_so = [False] * NUM_ENVS
        if truncations.any():
            told_so = self.told_so
            assert infos["worker_restarted"].tolist() == told_so
            expected[self.theirs] = self.last[self.theirs]
            if not self.lost:
                self.say("step: restarted")
        else:
            assert "worker_restarted" not in infos
            assert not self.lost, "an end was not told"
        assert truncations.tolist() == told_so
        assert_same_batch(observations, expected)
        scores = expected[:, 0] + expected[:, 1] / np.float64(8)
        scores[self.theirs] *= not (self.ended or truncations.any())
        assert_same_batch(rewards, scores)
        assert not terminations.any()
        self.last, self.ended, self.lost = expected, bool(truncations.any()), False

    def call(self) -> None:
        """A method of every env."""
        assert self.envs.call("poke") == tuple(range(NUM_ENVS))

    def render(self) -> None:
        """Frames of every env."""
        frames = self.envs.render()
        assert [int(frame[0, 0, 0]) for frame in frames] == list(range(NUM_ENVS))

    def close(self, timeout: float | None = None) -> None:
        """The end, and whom it had to kill."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.envs.close(timeout=timeout)
        for each in caught:
            text = str(each.message)
            if re.search(
                r"had to kill the worker of envs (0, 1|2, 3) \(pid \d+( on [^)]+)?\):", text
            ):
                self.say("close: killed")
            elif "Env 3 raised in close()" in text:
                self.say("close: told")
            else:
                raise AssertionError(f"a warning: {text}")


def settings(cell: Cell, patience: float) -> dict[str, Any]:
    """Time limits: those of what hangs are short, no other matters."""
    limits: dict[str, Any] = {"num_workers": 2, "start_timeout": 20.0}
    if cell.how in HANG and cell.where in START:
        limits["start_timeout"] = patience
    elif cell.how in HANG:
        limits |= {f"{name}_timeout": LIMIT for name in ("step", "reset", "call")}
    if cell.policy == "restart":
        limits["on_worker_death"] = "restart"
    return limits


def go_wrong_idle(envs: Any, folder: Path, how: str) -> None:
    """Has the env do it while nobody asks anything of it, and waits until it is done."""
    processes = getattr(envs, "processes", ())
    pid = processes[1].pid if processes else None
    (folder / "go").touch()
    wait_until((folder / "begun").exists, 10, "it begins")
    if how in DIES and pid is not None:
        wait_until(lambda: not alive(pid), 10, "the worker is dead")
    elif how in (*HANG, *DIES):
        time.sleep(0.1)  # nothing tells that from here
    else:
        wait_until((folder / "done").exists, 10, "it is done")


def play(cell: Cell, make: Callable[..., Any], folder: Path, patience: float) -> str:
    """What came of a cell.

    Args:
        cell: it.
        make: takes the keyword arguments of a vector env.
        folder: where envs look for what is to go wrong.
        patience: seconds for a start that hangs.

    Raises:
        AssertionError: a result was wrong.
    """
    for path in folder.iterdir():
        path.unlink()
    at_start = cell.where in START
    if at_start and cell.policy == "raise":
        arm(folder, cell.where, cell.how)
    try:
        envs = make(**settings(cell, patience))
    except AssertionError:
        raise
    except BaseException as error:
        # which worker comes to its launch first is not known
        return f"start: {told(error)}".replace("(0, 1)", "(2, 3)")
    # what a host's worker takes along is its session
    watched = Watched(envs, slice(0, NUM_ENVS) if cell.context == "remote" else THEIRS)
    try:
        return _play(cell, watched, folder)
    finally:
        if not envs.closed:
            envs.close(terminate=True)


def _play(cell: Cell, watched: Watched, folder: Path) -> str:
    envs, where = watched.envs, cell.where
    watched.reset()
    watched.step()
    restarts = 0
    if where in START:
        if cell.policy == "restart":
            arm(folder, where, cell.how)
            arm(folder, "step", "SIGKILL")
            watched.attempt("step", watched.step)
            watched.said.remove("step: restarted")  # the one that was to be
            restarts = 1
    elif where == "idle":
        arm(folder, where, cell.how)
        watched.step()
        go_wrong_idle(envs, folder, cell.how)
    else:
        arm(folder, where, cell.how)
    operations = {"reset": watched.reset, "render": watched.render, "call": watched.call}
    if where in operations:
        watched.attempt(where, operations[where])
    if where != "close":
        for name, operation in [
            *[("step", watched.step)] * 3,
            ("call", watched.call),
            *[("step", watched.step)] * 2,
        ]:
            watched.attempt(name, operation)
    if cell.policy == "restart" and watched.broken is None and where != "close":
        workers = envs.stats().workers
        more = workers[1].restarts - restarts if len(workers) > 1 else 0
        if more:
            watched.say(f"{more} more restart" + "s" * (more > 1) if restarts else f"{more}x")
    watched.close(timeout=1.5 if cell.how in (*HANG, "thread") else None)
    assert not (folder / where).exists(), "nothing went wrong"
    return "; ".join(watched.said) or "fine"
