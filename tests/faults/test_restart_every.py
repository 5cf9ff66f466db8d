# SPDX-License-Identifier: MIT
"""restart_every: workers are replaced between episodes, and nothing else changes."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import SyncVectorEnv

from envring import LaunchError, WorkerDied
from envring.pool import planned as planned_module
from envring.pool import restarting as restarting_module
from envring.testing import CountingEnv, assert_same_batch
from support.processes import CONTEXTS, counting_fns
from support.rebuilt import DrawingEnv, Rebuilt
from support.restarts import kill, killing, slow_to_look

MODES = ["NextStep", "SameStep", "Disabled"]
LENGTHS = (5, 4, 6)


def drawing(i: int) -> Callable[[], DrawingEnv]:
    return lambda: DrawingEnv(i, LENGTHS[i:] + LENGTHS[:i])


# -- as in one process ---------------------------------------------------------------------------


@pytest.mark.parametrize("every", [{"episodes": 2}, {"steps": 8}], ids=["episodes", "steps"])
@pytest.mark.parametrize("loop", ["compiled", "reference"])
@pytest.mark.parametrize("mode", MODES)
def test_like_envs_that_are_built_anew(mode: str, loop: str, every: Any, replacing: Any) -> None:
    """Every batch is that of envs in one process; no episode is cut short."""
    fns = [drawing(i) for i in range(3)]
    envs = replacing(fns, every, autoreset_mode=mode, step_loop=loop)
    oracle = SyncVectorEnv(
        [lambda fn=fn: Rebuilt(fn, 2) for fn in fns],  # type: ignore[misc]
        autoreset_mode=mode,
    )
    assert_same_batch(envs.reset(seed=3), oracle.reset(seed=3))
    ended = np.zeros(3, bool)
    for t in range(45):
        if mode == "Disabled" and ended.any():
            mask = {"reset_mask": ended}
            assert_same_batch(envs.reset(options=mask), oracle.reset(options=dict(mask)))
        actions = np.full(3, t % 8)
        results, expected = envs.step(actions), oracle.step(actions)
        assert_same_batch(results, expected)
        ended = results[2] | results[3]
    counts = envs.stats().workers
    assert [worker.restarts for worker in counts] == [0] * 3
    assert min(worker.planned_restarts for worker in counts) >= 3


@pytest.mark.parametrize("mode", MODES)
def test_sent_and_received(mode: str, replacing: Any) -> None:
    """Each env goes on by itself, as in one process."""
    fns = [drawing(i) for i in range(3)]
    envs = replacing(fns, {"episodes": 1}, autoreset_mode=mode, batch_size=1)
    oracles = [SyncVectorEnv([lambda fn=fn: Rebuilt(fn, 1)], autoreset_mode=mode) for fn in fns]
    counts = np.zeros(3, int)
    for i, oracle in enumerate(oracles):
        oracle.reset(seed=3 + i)
    envs.async_reset(seed=3)
    for _ in range(3):
        envs.recv(1)
    envs.send(np.full(3, 1))
    resetting = [False] * 3
    while counts.min() < 25:
        *results, infos = envs.recv(1)
        i = int(infos.pop("env_id")[0])
        if resetting[i]:
            observations, told = oracles[i].reset()
            assert_same_batch((results[0], infos), (observations, told))
        else:
            assert_same_batch((*results, infos), oracles[i].step([1]))
        counts[i] += 1
        resetting[i] = mode == "Disabled" and bool(results[2][0])
        if resetting[i]:
            envs.async_reset([i])
        else:
            envs.send([1], [i])
    envs.recv(3)
    assert min(worker.planned_restarts for worker in envs.stats().workers) >= 3


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_rollouts(mode: str, replacing: Any) -> None:
    fns = [drawing(i) for i in range(2)]
    envs = replacing(fns, {"episodes": 1}, autoreset_mode=mode, slots=4)
    oracle = SyncVectorEnv(
        [lambda fn=fn: Rebuilt(fn, 1) for fn in fns],  # type: ignore[misc]
        autoreset_mode=mode,
    )
    rollout = envs.rollout()
    assert_same_batch(np.array(rollout.reset(seed=1)[0]), oracle.reset(seed=1)[0])
    for _ in range(20):
        results, expected = rollout.step([2, 2]), oracle.step([2, 2])
        for ours, theirs in zip(results[:4], expected[:4], strict=True):
            assert_same_batch(np.array(ours), theirs)
        if mode == "SameStep" and "final_obs" in expected[4]:
            which = expected[4]["_final_obs"]
            finals = np.stack(expected[4]["final_obs"][which].tolist())
            assert_same_batch(rollout.final_obs.observations[-which.sum() :], finals)
    assert envs.stats().workers[0].planned_restarts >= 2


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_large_observations(mode: str, replacing: Any) -> None:
    """The end of an episode that a worker hands over may be longer than a socket holds."""

    class Large(CountingEnv):
        def __init__(self) -> None:
            super().__init__(lengths=(2,))
            self.observation_space = Box(0, 255, (1 << 20,), np.uint8)

        def _observation(self, action: Any) -> Any:
            return np.full(1 << 20, 10 * self.episode + self.t, np.uint8)

    envs = replacing([Large] * 2, {"episodes": 2}, autoreset_mode=mode)
    oracle = SyncVectorEnv([lambda: Rebuilt(Large, 2)] * 2, autoreset_mode=mode)
    assert_same_batch(envs.reset(), oracle.reset())
    for _ in range(12):
        assert_same_batch(envs.step([0, 0]), oracle.step([0, 0]))
    assert envs.stats().workers[1].planned_restarts >= 2


@pytest.mark.parametrize("context", CONTEXTS)
def test_start_methods(context: str, replacing: Any) -> None:
    envs = replacing(counting_fns(2, lengths=(2,)), {"episodes": 1}, context=context)
    envs.reset()
    for t in range(9):
        observations, _, _, truncations, infos = envs.step([0, 0])
        assert observations[:, 2].tolist() == [(t + 1) % 3] * 2
        assert not truncations.any()
        assert ("worker_restarted" in infos) == (t % 3 == 2)


# -- the process ---------------------------------------------------------------------------------


class Logged(CountingEnv):
    """Notes in a file when it is built and closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(lengths=(3,))
        self.path = path
        self.note("built")

    def note(self, what: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{what} {os.getpid()}\n")

    def close(self) -> None:
        self.note("closed")


def test_the_new_one_is_built_before_the_old_one_closes(replacing: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    envs = replacing([lambda: Logged(log)], {"episodes": 2})
    envs.reset()
    for _ in range(4):
        envs.step([0])
    deadline = time.monotonic() + 20
    while len(log.read_text().splitlines()) < 2:  # in its last episode: nobody waits for this
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first = envs.processes[0].pid
    for _ in range(6):
        envs.step([0])
    second = envs.processes[0].pid
    lines = log.read_text().splitlines()[:3]
    assert lines == [f"built {first}", f"built {second}", f"closed {first}"]


class Exclusive(CountingEnv):
    """Has a name that only one process can have."""

    def __init__(self, name: str) -> None:
        super().__init__(lengths=(2,))
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind("\0" + name)  # which is free again when it is closed

    def close(self) -> None:
        self.sock.close()


def test_envs_that_do_not_bear_another_beside_them(replacing: Any, tmp_path: Path) -> None:
    """Then the new one is built when the old one has closed; that is no failure."""
    envs = replacing([lambda: Exclusive(str(tmp_path))], {"episodes": 1})
    envs.reset()
    for t in range(9):
        observations, _, _, truncations, _ = envs.step([0])
        assert observations[0, 1:3].tolist() == [0, (t + 1) % 3]
        assert not truncations.any()
    assert envs.stats().workers[0].planned_restarts == 3
    assert envs.stats().workers[0].restarts == 0


@pytest.mark.parametrize("how", ["hang", "crash"])
def test_the_old_one_does_not_close(
    how: str, replacing: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(planned_module, "_CLOSE_SECONDS", 0.2)
    first = tmp_path / "first"

    class Stuck(CountingEnv):
        def close(self) -> None:
            if first.exists():
                return
            first.touch()
            if how == "crash":
                os.abort()
            time.sleep(100)

    envs = replacing([lambda: Stuck(lengths=(2,))], {"episodes": 1})
    envs.reset()
    for _ in range(7):
        assert not envs.step([0])[3].any()
    assert envs.stats().workers[0].planned_restarts == 2


@pytest.mark.parametrize("first", ["message", "death"])
def test_it_cannot_be_built_again(
    first: str, replacing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "made"

    def make() -> CountingEnv:
        if path.exists():
            raise OSError("the licence has expired")
        path.touch()
        return CountingEnv(lengths=(1,))

    if first == "death":
        slow_to_look(monkeypatch)
    envs = replacing([make], {"episodes": 1})
    envs.reset()
    envs.step([0])
    for _ in range(2):
        with pytest.raises((LaunchError, OSError), match="licence"):
            envs.step([0])


@pytest.mark.parametrize("terminate", [True, False])
def test_close_with_a_process_beside(terminate: bool, replacing: Any, tmp_path: Path) -> None:
    """Neither it nor its env is left."""
    log = tmp_path / "log"
    envs = replacing([lambda: Logged(log)], {"episodes": 1})
    envs.reset()
    envs.step([0])
    deadline = time.monotonic() + 20
    while log.read_text().count("built") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    envs.close(terminate=terminate)
    if not terminate:
        assert log.read_text().count("closed") == 2


# -- deaths --------------------------------------------------------------------------------------


def test_a_death_is_an_error_all_the_same(replacing: Any) -> None:
    envs = replacing(counting_fns(2, lengths=(2,)), {"episodes": 1})
    envs.reset()
    for _ in range(4):
        envs.step([0, 0])
    kill(envs.processes[1].pid)
    with pytest.raises(WorkerDied, match="env 1") as caught:
        envs.step([0, 0])
    assert caught.value.restarts == 0
    assert "again" not in str(caught.value)


def test_with_restarts_after_deaths(replacing: Any) -> None:
    """Those that are planned do not count among them."""
    envs = replacing(
        counting_fns(2, lengths=(2,)),
        {"episodes": 1},
        on_worker_death="restart",
        max_restarts=1,
    )
    envs.reset()
    for _ in range(10):
        assert not envs.step([0, 0])[3].any()
    last = envs.step([0, 0])[0]
    assert last[:, 2].tolist() == [2, 2]
    envs.step([0, 0])
    last = envs.step([0, 0])[0]
    kill(envs.processes[1].pid)
    observations, _, _, truncations, infos = envs.step([0, 0])
    assert truncations.tolist() == [False, True]
    assert infos["worker_restarted"].tolist() == [False, True]
    assert_same_batch(observations[1], last[1])
    for _ in range(6):
        assert not envs.step([0, 0])[3].any()
    assert [worker.restarts for worker in envs.stats().workers] == [0, 1]
    kill(envs.processes[1].pid)
    with pytest.raises(WorkerDied):
        envs.step([0, 0])


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_killed_without_pause(mode: str, replacing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills at random moments, also of processes that wait beside others, or are about to leave."""
    monkeypatch.setattr(restarting_module, "_SHORT_LIFE", 0.0)
    envs = replacing(
        [lambda i=i: CountingEnv(i, (4,)) for i in range(3)],
        {"episodes": 2},
        autoreset_mode=mode,
        on_worker_death="restart",
        max_restarts=10**6,
    )
    last, _ = envs.reset(seed=0)
    ended = np.zeros(3, bool)
    begun = time.monotonic()

    def enough() -> bool:
        workers = envs.stats().workers
        planned = sum(worker.planned_restarts for worker in workers)
        return min(sum(worker.restarts for worker in workers), planned) >= 2

    with killing(envs, 0.3):
        while time.monotonic() < begun + (2.0 if enough() else 20.0):
            observations, rewards, terminations, truncations, infos = envs.step([2] * 3)
            for i in range(3):
                got, before = observations[i].tolist(), last[i].tolist()
                final = got
                if mode == "SameStep" and (terminations[i] or truncations[i]):
                    final = infos["final_obs"][i].tolist()
                    assert got[2:] == [0, -1]
                if ended[i] and mode == "NextStep":
                    assert got[2:] == [0, -1]
                    assert not (terminations[i] or truncations[i])
                elif truncations[i]:
                    assert final == before
                    assert rewards[i] == 0
                else:
                    assert final == [i, before[1], before[2] + 1, 2]
                    assert terminations[i] == (final[2] == 4)
            last, ended = observations, terminations | truncations
    counts = envs.stats().workers
    assert sum(worker.restarts for worker in counts) >= 2
    assert sum(worker.planned_restarts for worker in counts) >= 2
