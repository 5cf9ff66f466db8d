# SPDX-License-Identifier: MIT
"""Restarts of workers that step vector envs: their rows end, and begin, together."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import SyncVectorEnv

from envring import EnvSource, Python
from envring._foreign.envring_worker import vector_slice
from envring.pool import restarting
from envring.pool.seeds import fresh_seed
from envring.testing import CountingEnv, assert_same_batch
from support.rebuilt import DrawingEnv, Rebuilt
from support.restarts import assert_ended, kill, killing
from support.vector_envs import PLAIN, divided

MODES = ["NextStep", "SameStep", "Disabled"]
LENGTHS = (5, 3, 7)


def counting(count: int, lengths: tuple[int, ...] = LENGTHS) -> list[Any]:
    """Those of one vector env begin with other episodes than each other."""
    return [partial(CountingEnv, i, lengths[i % 2 :] + lengths[: i % 2]) for i in range(count)]


@pytest.mark.parametrize("mode", MODES)
def test_siblings_lose_nothing(mode: str, made: Any) -> None:
    """Results of other workers are those of a run without deaths, in every batch."""
    fns = counting(6)
    envs = made(divided(fns, [2, 2, 2], mode), num_workers=3, autoreset_mode=mode)
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
        if results[4].get("worker_restarted", ended)[4:].any() and results[3][4:].all():
            assert_ended(results, last, slice(4, 6), mode)
            lost += 1
        last, same, ended = results[0], expected[0], results[2] | results[3]
    assert lost >= 2
    assert envs.stats().workers[2].restarts == 3


@pytest.mark.parametrize("both", [True, False])
def test_rows_that_had_ended(both: bool, made: Any) -> None:
    """All of them: the step resets. Some: these end once more, an episode without a step."""
    fns = [partial(CountingEnv, 0, (2, 99)), partial(CountingEnv, 1, (2 if both else 9, 99))]
    envs = made(divided(fns * 2, [2, 2], "NextStep"), num_workers=2)
    envs.reset(seed=0)
    envs.step([0] * 4)
    last, _, terminations, _, _ = envs.step([0] * 4)
    assert terminations.tolist() == [True, both] * 2
    kill(envs.processes[1].pid)
    results = envs.step([0] * 4)
    if not both:
        assert_ended(results, last, slice(2, 4), "NextStep")
        results = envs.step([0] * 4)
        assert "worker_restarted" not in results[4]
    else:
        assert results[4]["worker_restarted"].tolist() == [False, False, True, True]
    assert results[0][2:, 2:].tolist() == [[0, -1]] * 2
    assert not results[3].any()
    assert envs.step([1] * 4)[0][2:, 2:].tolist() == [[1, 1]] * 2


@pytest.mark.parametrize("mode", MODES)
def test_seeds_count_up_from_that_of_the_first_row(mode: str, made: Any) -> None:
    fns = [partial(DrawingEnv, i, (99,)) for i in range(4)]
    envs = made(divided(fns, [2, 2], mode), num_workers=2, autoreset_mode=mode)
    envs.reset(seed=[5, 6, 70, 8])
    for n in (1, 2):
        kill(envs.processes[1].pid)
        infos = envs.step([0] * 4)[4]
        if mode == "NextStep":
            infos = envs.step([0] * 4)[4]
        elif mode == "Disabled":
            mask = np.array([False, False, True, True])
            infos = envs.reset(options={"reset_mask": mask})[1]
        first = fresh_seed(70, n)
        assert infos["seed"][2:].tolist() == [first, first + 1]


def test_envs_that_take_one_seed_only(made: Any) -> None:
    """Gymnasium's CartPoleVectorEnv, and what it does after the restart is what the seed says."""
    envs = made([partial(CartPoleVectorEnv, 4)] * 2, num_workers=2)
    envs.reset(seed=7)
    last = envs.step(np.zeros(8, np.int64))[0]
    kill(envs.processes[1].pid)
    assert_same_batch(envs.step(np.zeros(8, np.int64))[0][4:], last[4:])
    alone = CartPoleVectorEnv(4)
    begun = alone.reset(seed=fresh_seed(7 + 4, 1))[0]
    assert_same_batch(envs.step(np.zeros(8, np.int64))[0][4:], begun)
    after = alone.step(np.ones(4, np.int64))[0]
    assert_same_batch(envs.step(np.ones(8, np.int64))[0][4:], after)


@pytest.mark.parametrize("mode", MODES)
def test_a_masked_reset_after_a_death(mode: str, made: Any) -> None:
    """The vector env is reset as a whole; rows that are not in the mask end in the next step."""
    fns = [partial(CountingEnv, i, (99,)) for i in range(4)]
    envs = made(divided(fns, [2, 2], mode), num_workers=2, autoreset_mode=mode)
    envs.reset(seed=0)
    last = envs.step([1] * 4)[0]
    kill(envs.processes[1].pid)
    mask = np.array([False, False, True, False])
    observations, infos = envs.reset(options={"reset_mask": mask})
    assert infos["worker_restarted"].tolist() == [False, False, True, False]
    assert infos["_round"].tolist() == [False, False, True, False]
    assert_same_batch(observations[~mask], last[~mask])
    assert observations[2, 2:].tolist() == [0, -1]
    results = envs.step([1] * 4)
    assert results[3].tolist() == [False, False, False, True]
    assert results[4]["worker_restarted"].tolist() == [False, False, False, True]
    assert results[0][:3, 2].tolist() == [2, 2, 1]
    if mode == "SameStep":
        assert_same_batch(results[4]["final_obs"][3], last[3])
        assert results[0][3, 2:].tolist() == [1, 1]  # of its new episode, one step in
    else:
        assert_same_batch(results[0][3], last[3])
    if mode == "Disabled":
        observations, _ = envs.reset(options={"reset_mask": results[3]})
        assert observations[:, 2].tolist() == [2, 2, 1, 0]
        assert envs.step([1] * 4)[0][:, 2].tolist() == [3, 3, 2, 1]
    else:
        results = envs.step([1] * 4)
        assert results[0][:, 2].tolist() == [3, 3, 2, 2]
        assert (results[1][3] == 0) == (mode == "NextStep")
        assert envs.step([1] * 4)[1][3] > 0


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_in_another_interpreter(mode: str, made: Any) -> None:
    sources = [EnvSource(PLAIN, kwargs={"count": 2, "seed": 3, "mode": mode})] * 2
    envs = made(sources, num_workers=2, launcher=Python(sys.executable), autoreset_mode=mode)
    last, _ = envs.reset(seed=0)
    kill(envs.processes[1].pid)
    results = envs.step([0] * 4)
    assert_ended(results, last, slice(2, 4), mode)
    assert results[0][:2, 2].tolist() == [1, 1]
    envs.step([0] * 4)
    assert envs.step([0] * 4)[0].shape == (4, 4)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_sent_while_workers_are_killed(
    mode: str, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row follows from the one before, whatever was received when.

    Rows whose results had come before the death end a step later than the others of their vector
    env, and begin one step into its episode.
    """
    monkeypatch.setattr(restarting, "_SHORT_LIFE", 0.0)
    fns = [partial(CountingEnv, i, (10**6,)) for i in range(6)]
    late: set[int] = set()
    envs = made(divided(fns, [3, 3], mode), num_workers=2, autoreset_mode=mode, max_restarts=10**6)
    last, _ = envs.reset(seed=0)
    ended = np.zeros(6, bool)
    ends = 0
    envs.send(np.full(6, 2), np.arange(6))
    with killing(envs, 0.3):
        until = time.monotonic() + 20
        while ends < 6 and time.monotonic() < until:
            observations, rewards, _, truncations, infos = envs.recv(3)
            ids = infos["env_id"]
            was_late = set(late)
            for row, i in enumerate(ids.tolist()):
                got = observations[row].tolist()
                if truncations[row]:
                    assert infos["worker_restarted"][row]
                    assert rewards[row] == 0
                    final = got if mode == "NextStep" else infos["final_obs"][row].tolist()
                    assert final == last[i].tolist()
                    ends += 1
                if ended[i] if mode == "NextStep" else truncations[row]:
                    assert got[2:] == [0, -1] or (got[2:] == [1, 2] and i in late)
                    late.discard(i)
                elif not truncations[row]:
                    assert got[2:] == [last[i][2] + 1, 2]
            cut = set(ids[truncations].tolist())
            if not cut <= was_late:
                late |= set(ids.tolist()) - cut
            last[ids] = observations
            ended[ids] = truncations
            envs.send(np.full(3, 2), ids)
    assert ends >= 6
    assert sorted(envs.recv(6)[4]["env_id"].tolist()) == list(range(6))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", ["step", "reset"])
def test_killed_between_two_rows_of_a_vector_env(
    what: str, mode: str, made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first row's result has come; it is received, and that row's end the next time."""
    run_one = vector_slice.VectorSlice.run_one
    armed = tmp_path / "armed"

    def dying(self: Any, i: int, slot: int, actions: Any) -> None:
        if i == 1 and armed.exists():
            armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        run_one(self, i, slot, actions)

    monkeypatch.setattr(vector_slice.VectorSlice, "run_one", dying)
    fns = [partial(CountingEnv, i, (99,)) for i in range(3)]
    envs = made(divided(fns, [3], mode), num_workers=1, autoreset_mode=mode)
    envs.reset(seed=0)
    everyone = np.arange(3)
    envs.send([1] * 3, everyone)
    last = envs.recv(3)[0]
    armed.touch()
    if what == "step":
        envs.send([2] * 3, everyone)
    else:
        envs.async_reset(everyone)
    observations, rewards, _, truncations, infos = envs.recv(3)
    assert infos["worker_restarted"].tolist() == [False, True, True]
    if what == "step":
        assert truncations.tolist() == [False, True, True]
        assert observations[0].tolist() == [0, 0, 2, 2]
        finals = (
            np.stack(infos["final_obs"][1:].tolist()) if mode == "SameStep" else observations[1:]
        )
        assert_same_batch(finals, last[1:])
    if what == "reset" or mode == "SameStep":
        assert observations[1:, 2].tolist() == [0, 0]
    last = observations
    envs.send([3] * 3, everyone)
    observations, rewards, _, truncations, infos = envs.recv(3)
    assert truncations.tolist() == [True, False, False]
    assert infos["worker_restarted"].tolist() == [True, False, False]
    assert rewards[0] == 0
    if mode == "SameStep":
        assert_same_batch(infos["final_obs"][0], last[0])
    else:
        assert_same_batch(observations[0], last[0])
    if mode == "NextStep" and what == "step":  # it began their episodes
        assert observations[1:, 2:].tolist() == [[0, -1]] * 2
    else:
        assert observations[1:, 2:].tolist() == [[1, 3]] * 2


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_replaced_between_episodes(mode: str, together: bool, replacing: Any) -> None:
    """As envs of one process that are built anew, where all rows end at the same time."""
    lengths = [(4, 3), (4, 3) if together else (4, 5)]
    fns = [partial(CountingEnv, i, lengths[i % 2]) for i in range(4)]
    envs = replacing(
        divided(fns, [2, 2], mode), {"episodes": 4}, autoreset_mode=mode, num_workers=2
    )
    oracle = SyncVectorEnv([partial(Rebuilt, fn, 2) for fn in fns], autoreset_mode=mode)
    last = envs.reset(seed=3)[0]
    oracle.reset(seed=3)
    ended = np.zeros(4, bool)
    for t in range(40):
        if mode == "Disabled" and ended.any():
            options = {"reset_mask": ended}
            got = envs.reset(options=options)
            last = got[0]
            if together:
                assert_same_batch(got, oracle.reset(options=dict(options)))
        results = envs.step([t % 8] * 4)
        if together:
            assert_same_batch(results, oracle.step([t % 8] * 4))
        else:  # no row goes on as if nothing had happened
            observations, _, terminations, truncations, infos = results
            begun = ended if mode == "NextStep" else (terminations | truncations)
            if mode != "Disabled":
                assert (observations[begun & ~truncations, 2] == 0).all()
            going_on = ~begun & ~truncations
            assert_same_batch(observations[going_on, 2], last[going_on, 2] + 1)
            assert not truncations.any() or infos["worker_restarted"][truncations].all()
            last = observations
        ended = results[2] | results[3]
    counts = envs.stats().workers
    assert [worker.restarts for worker in counts] == [0, 0]
    assert min(worker.planned_restarts for worker in counts) >= (2 if together else 1)
