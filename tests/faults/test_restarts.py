# SPDX-License-Identifier: MIT
"""on_worker_death="restart": what a death costs, and that it costs nobody else anything."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from envring import WorkerRestarted
from envring.pool import restarting as restarting_module
from envring.testing import CountingEnv, DyingEnv, GatedEnv, HangingEnv, assert_same_batch
from support.processes import CONTEXTS, counting_fns, read_pid
from support.restarts import Once, assert_ended, kill, killing

MODES = ["NextStep", "SameStep", "Disabled"]
HOW = ["SIGKILL", "SIGSEGV", "os._exit", "sys.exit"]


# -- siblings, and the three modes ---------------------------------------------------------------


@pytest.mark.parametrize("loop", ["compiled", "reference"])
@pytest.mark.parametrize("mode", MODES)
def test_siblings_lose_nothing(mode: str, loop: str, made: Any) -> None:
    """Results of other workers are those of a run without deaths, in every batch."""
    lengths = (5, 3, 7)
    fns: list[Any] = [lambda i=i: CountingEnv(i, lengths) for i in range(6)]
    envs = made(fns, num_workers=3, autoreset_mode=mode, step_loop=loop)
    oracle = SyncVectorEnv(fns[:4], autoreset_mode=mode)
    last, _ = envs.reset(seed=3)
    same, _ = oracle.reset(seed=3)
    ended = np.zeros(6, bool)
    lost = 0
    for t in range(24):
        if t in (4, 11, 12):
            kill(envs.processes[2].pid)
        if mode == "Disabled" and ended.any():
            mask = {"reset_mask": ended[:4]}
            last, _ = envs.reset(options={"reset_mask": ended})
            same = oracle.reset(options=mask)[0] if ended[:4].any() else same
            assert_same_batch(last[:4], same)
        actions = np.full(6, t % 8)
        results = envs.step(actions)
        expected = oracle.step(actions[:4])
        for ours, theirs in zip(results[:4], expected[:4], strict=True):
            assert_same_batch(ours[:4], theirs)
        infos = results[4]
        if infos.get("worker_restarted", ended)[4:].any() and results[3][4:].all():
            assert_ended(results, last, slice(4, 6), mode)
            lost += 1
        last, same, ended = results[0], expected[0], results[2] | results[3]
    assert lost >= 2


def test_an_env_that_had_ended_is_reset_and_not_ended_twice(made: Any) -> None:
    envs = made([lambda: CountingEnv(0, (2,))] * 2, num_workers=2)
    envs.reset(seed=0)
    envs.step([0, 0])
    assert envs.step([0, 0])[2].all()
    kill(envs.processes[1].pid)
    observations, _, terminations, truncations, infos = envs.step([0, 0])
    assert not terminations.any()
    assert not truncations.any()
    assert (observations[:, 2] == 0).all()
    assert infos["worker_restarted"].tolist() == [False, True]
    assert envs.step([1, 1])[0][:, 2].tolist() == [1, 1]


# -- places and ways -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("where", ["step", "reset"])
def test_death_of_its_own_hand(where: str, how: str, made: Any, tmp_path: Path) -> None:
    fns: list[Any] = counting_fns(3)
    fns[1] = Once(tmp_path / "once", lambda: DyingEnv(how, where, 1, index=1, lengths=(99,)), 1)
    envs = made(fns, num_workers=3)
    envs.reset(seed=0)
    last = envs.step([0] * 3)[0]
    if where == "step":
        results = envs.step([1] * 3)
        assert_ended(results, last, slice(1, 2), "NextStep")
        assert results[0][[0, 2], 2].tolist() == [2, 2]
        envs.step([0] * 3)
    else:
        observations, infos = envs.reset(seed=5)
        assert observations[:, 2].tolist() == [0, 0, 0]
        assert infos["worker_restarted"].tolist() == [False, True, False]
    assert envs.step([0] * 3)[3].sum() == 0


@pytest.mark.parametrize("context", CONTEXTS)
def test_killed_asleep_in_a_step(context: str, made: Any, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    fns: list[Any] = counting_fns(2)
    fns[1] = Once(tmp_path / "once", lambda: GatedEnv(gate, index=1, lengths=(99,)), 1)
    envs = made(fns, num_workers=2, context=context)
    last, _ = envs.reset(seed=0)
    envs.step_async([0, 0])
    os.kill(read_pid(Path(f"{gate}.waiting")), signal.SIGKILL)
    assert_ended(envs.step_wait(), last, slice(1, 2), "NextStep")
    assert envs.step([0, 0])[4]["round"].tolist() == [0, 0]


def test_a_hang_beyond_step_timeout_is_a_death(made: Any, tmp_path: Path) -> None:
    fns: list[Any] = counting_fns(4)
    fns[2] = Once(tmp_path / "once", lambda: HangingEnv(index=2, lengths=(99,)), 2)
    envs = made(fns, num_workers=2, step_timeout=0.3)
    last, _ = envs.reset(seed=0)
    start = time.monotonic()
    results = envs.step([0] * 4)
    assert 0.3 <= time.monotonic() - start < 10
    assert_ended(results, last, slice(2, 4), "NextStep")
    assert results[0][:2, 2].tolist() == [1, 1]


def test_a_hang_in_reset_is_a_death(made: Any, tmp_path: Path) -> None:
    fns: list[Any] = counting_fns(2)
    fns[1] = Once(tmp_path / "once", lambda: HangingEnv("reset", 1, index=1), 1)
    envs = made(fns, num_workers=2, reset_timeout=0.3)
    envs.reset()
    _, infos = envs.reset()
    assert infos["worker_restarted"].tolist() == [False, True]


class Cancelled(BaseException):
    """Is not an Exception, as asyncio's is none."""


@pytest.mark.parametrize("end", ["SIGKILL", "error", "cancelled"])
def test_the_constructor_of_the_successor_fails(end: str, made: Any, tmp_path: Path) -> None:
    """That counts as another restart."""
    attempts = tmp_path / "attempts"

    def make() -> CountingEnv:
        with attempts.open("a") as file:
            file.write("x")
        if attempts.stat().st_size in (2, 3):
            if end == "error":
                raise OSError("the port is in use")
            if end == "cancelled":
                raise Cancelled
            os.kill(os.getpid(), signal.SIGKILL)
        return CountingEnv(1, (99,))

    envs = made([*counting_fns(1), make], num_workers=2)
    last, _ = envs.reset(seed=0)
    kill(envs.processes[1].pid)
    assert_ended(envs.step([0, 0]), last, slice(1, 2), "NextStep")
    assert attempts.stat().st_size == 4


def test_masked_reset_after_a_death(made: Any) -> None:
    """Those that are not reset end in the next step."""
    envs = made(counting_fns(4), num_workers=2, autoreset_mode="Disabled")
    envs.reset(seed=0)
    last = envs.step([1] * 4)[0]
    kill(envs.processes[1].pid)
    mask = np.array([False, False, True, False])
    observations, infos = envs.reset(options={"reset_mask": mask})
    assert infos["worker_restarted"].tolist() == [False, False, True, False]
    assert_same_batch(observations[~mask], last[~mask])
    results = envs.step([1] * 4)
    assert_ended(results, last, slice(3, 4), "Disabled")
    assert results[0][:3, 2].tolist() == [2, 2, 1]


@pytest.mark.parametrize("name", ["call", "set_attr", "render"])
def test_calls_say_whose_worker_died(name: str, made: Any) -> None:
    envs = made(counting_fns(4, render_mode="rgb_array"), num_workers=2)
    envs.reset(seed=0)
    last = envs.step([1] * 4)[0]
    pid = envs.processes[0].pid
    kill(pid)
    operation = {
        "call": lambda: envs.call("add", 1),
        "set_attr": lambda: envs.set_attr("gravity", 1.0),
        "render": envs.render,
    }[name]
    with pytest.raises(WorkerRestarted, match="envs 0, 1") as caught:
        operation()
    assert (caught.value.env_ids, caught.value.pid) == ((0, 1), pid)
    assert caught.value.signal == signal.SIGKILL
    operation()
    assert_ended(envs.step([1] * 4), last, slice(0, 2), "NextStep")


def test_a_death_while_a_message_is_sent_to_another(made: Any) -> None:
    """The one that died is not sent it twice: later messages are not taken for others."""
    envs = made(counting_fns(2), num_workers=2)
    envs.reset(seed=0)
    slow, dying = (process.pid for process in envs.processes)
    os.kill(slow, signal.SIGSTOP)
    timers = [
        threading.Timer(0.3, os.kill, (dying, signal.SIGKILL)),
        threading.Timer(0.8, os.kill, (slow, signal.SIGCONT)),
    ]
    for timer in timers:
        timer.start()
    with pytest.raises(WorkerRestarted, match="env 1"):
        envs.set_attr("gravity", ["x" * (1 << 23), 1.0])
    for timer in timers:
        timer.join()
    assert envs.call("add", 1) is not None
    envs.set_attr("gravity", [2.0, 3.0])
    assert envs.get_attr("gravity") == (2.0, 3.0)
    envs.step([0, 0])
    assert envs.reset(seed=[5, 6])[0][:, 1].tolist() == [0, 0]


def test_all_die_at_once(made: Any) -> None:
    envs = made(counting_fns(6), num_workers=3)
    last, _ = envs.reset(seed=0)
    for process in envs.processes:
        kill(process.pid)
    assert_ended(envs.step([0] * 6), last, slice(0, 6), "NextStep")
    assert (envs.step([0] * 6)[0][:, 2] == 0).all()
    assert (envs.step([0] * 6)[0][:, 2] == 1).all()


def test_killed_without_pause(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills at random moments: every observation is one that an env has written."""
    monkeypatch.setattr(restarting_module, "_SHORT_LIFE", 0.0)
    envs = made(counting_fns(4), num_workers=2, max_restarts=10**6)
    last, _ = envs.reset(seed=0)
    pending = np.zeros(4, bool)
    restarts = 0
    with killing(envs, 0.3):
        begun = time.monotonic()
        while time.monotonic() < begun + 1.5 or (restarts < 2 and time.monotonic() < begun + 20):
            observations, _, _, truncations, infos = envs.step([2] * 4)
            for i in range(4):
                fresh = pending[i]
                expected = last[i].copy()
                if fresh:
                    expected = [i, observations[i, 1], 0, -1]
                elif not truncations[i]:
                    expected[2:] += 1
                    expected[3] = 2
                assert observations[i].tolist() == list(expected)
            restarts += int(truncations.any())
            last, pending = observations, truncations
            assert not truncations.any() or infos["worker_restarted"][truncations].all()
    assert restarts >= 2


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_rollouts(mode: str, steps: int, made: Any) -> None:
    envs = made(counting_fns(4), num_workers=2, autoreset_mode=mode, slots=steps + 1)
    rollout = envs.rollout()
    last = np.array(rollout.reset(seed=0)[0])
    ends = 0
    was_end = np.zeros(4, bool)
    for t in range(12):
        if t in (2, 6, 7):
            kill(envs.processes[1].pid)
        observations, rewards, _, truncations, infos = rollout.step([2] * 4)
        expected = last + np.float32([0, 0, 1, 0])
        expected[:, 3] = 2
        assert_same_batch(observations[:2], expected[:2])
        if truncations.any():
            assert_ended((observations, rewards, _, truncations, infos), last, slice(2, 4), mode)
            finals = rollout.final_obs
            assert_same_batch(finals.observations[-2:], last[2:])
            ends += 1
        elif was_end.any() and mode == "NextStep":
            assert observations[2:, 2:].tolist() == [[0, -1]] * 2
        elif not infos.get("worker_restarted", was_end).any():
            assert_same_batch(observations, expected)
        last, was_end = np.array(observations), np.array(truncations)
    assert ends >= 2
