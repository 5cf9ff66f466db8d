# SPDX-License-Identifier: MIT
"""on_worker_death="restart" with send and recv: nobody waits for the worker that is missing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from envring.pool import restarting
from envring.pool.seeds import fresh_seed
from envring.testing import CountingEnv, GatedEnv, HangingEnv
from support.processes import counting_fns, read_pid, wait_until
from support.restarts import Once, kill, killing

MODES = ["NextStep", "SameStep", "Disabled"]


class Follower:
    """Checks each row that an env sends against the one before."""

    def __init__(self, envs: Any, mode: str) -> None:
        self.envs, self.mode, self.ends = envs, mode, 0
        self.last: dict[int, Any] = {}
        self.ended: dict[int, bool] = {}
        self.resetting: set[int] = set()

    def receive(self, count: int) -> Any:
        observations, rewards, terminations, truncations, infos = self.envs.recv(count)
        told = infos.get("worker_restarted", np.zeros(count, bool))
        assert not terminations.any()
        for row, i in enumerate(infos["env_id"].tolist()):
            got = observations[row].tolist()
            last = self.last.get(i)
            ended = bool(truncations[row])
            if i in self.resetting or (self.mode == "NextStep" and self.ended.get(i)):
                assert got[2:] == [0, -1]
                assert not ended
            elif ended:
                assert told[row]
                assert rewards[row] == 0
                self.ends += 1
                if self.mode == "SameStep":
                    assert infos["final_obs"][row].tolist() == last
                    assert got[2:] == [0, -1]
                else:
                    assert got == last
            else:
                assert got == [*last[:2], last[2] + 1, 3]
            self.resetting.discard(i)
            self.last[i], self.ended[i] = got, ended
        return infos["env_id"]

    def send(self, env_ids: Any) -> None:
        again = [i for i in env_ids.tolist() if self.mode == "Disabled" and self.ended.get(i)]
        rest = np.setdiff1d(env_ids, again).astype(np.int32)
        if again:
            self.resetting.update(again)
            self.envs.async_reset(again)
        if len(rest):
            self.envs.send(np.full(len(rest), 3), rest)


@pytest.mark.parametrize("loop", ["compiled", "reference"])
@pytest.mark.parametrize("mode", MODES)
def test_killed_without_pause(
    mode: str, loop: str, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kills at random moments: each env goes on from its last row, or ends with it."""
    monkeypatch.setattr(restarting, "_SHORT_LIFE", 0.0)
    envs = made(
        counting_fns(6), num_workers=3, max_restarts=10**6, autoreset_mode=mode, step_loop=loop
    )
    follower = Follower(envs, mode)
    follower.resetting.update(range(6))
    envs.async_reset(seed=0)
    with killing(envs, 0.1):
        begun = time.monotonic()
        rng = np.random.default_rng(1)
        while time.monotonic() < begun + (0.7 if follower.ends >= 2 else 20.0):
            follower.send(follower.receive(int(rng.integers(1, 5))))
    follower.receive(6)
    assert follower.ends >= 2
    before = np.stack([follower.last[i] for i in range(6)])
    if mode != "Disabled":  # and a batch of all envs goes on from there
        after = envs.step([3] * 6)[0]
        assert (after[:, 2] <= before[:, 2] + 1).all()


def test_one_dies_again_while_another_one_is_told(
    made: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Deaths are looked for while a successor is sent what its envs are to know."""
    monkeypatch.setattr(restarting, "_SHORT_LIFE", 0.0)
    envs = made(counting_fns(2), num_workers=2)
    envs.reset(seed=0)
    pool = envs._batcher.pool
    advance, killed = restarting.Restarts._advance, []

    def first_kills_the_second(restarts: Any, w: int, successor: Any) -> None:
        second = restarts._successors.get(1)
        if w == 0 and not killed and second is not None and second.worker is not None:
            killed.append(second.worker.pid)
            kill(second.worker.pid)
            pool.deaths.look()
        advance(restarts, w, successor)

    monkeypatch.setattr(restarting.Restarts, "_advance", first_kills_the_second)
    for process in list(envs.processes):
        kill(process.pid)
    with caplog.at_level("WARNING", logger="envring"):
        envs.send([3, 3])
        observations, _, _, truncations, _ = envs.recv(2)
    assert killed
    assert truncations.all()
    assert observations[:, 2:].tolist() == [[0, -1], [0, -1]]
    assert "could not be built again" not in caplog.text


def test_nobody_waits_for_the_missing_one(made: Any, tmp_path: Path) -> None:
    built, gate = tmp_path / "built", tmp_path / "gate"

    def slow() -> Any:
        if built.exists():
            wait_until(gate.exists, 30, "the other env was stepped often enough")
        built.touch()
        return CountingEnv(1, (10**6,))

    envs = made([*counting_fns(1), slow], num_workers=2, batch_size=1)
    envs.reset(seed=0)
    kill(envs.processes[1].pid)
    envs.send([0, 0])
    steps = 0
    while True:
        _, _, _, truncations, infos = envs.recv(1)
        if infos["env_id"][0] == 1:
            break
        steps += 1
        if steps == 50:
            gate.touch()
        envs.send([0], infos["env_id"])
    assert truncations.tolist() == [True]
    assert steps >= 50
    envs.recv(1)


def test_a_result_that_was_not_received_is_the_last_one(made: Any) -> None:
    """The worker dies when it has answered: that answer counts, and the end comes after it."""
    envs = made(counting_fns(2), num_workers=1)
    envs.reset(seed=0)
    envs.send([1, 2])
    wait_until(lambda: envs._batcher.arrivals().num_done == 2, 20, "both have answered")
    kill(envs.processes[0].pid)
    observations, _, _, truncations, _ = envs.recv(2)
    assert observations[:, 2].tolist() == [1, 1]
    assert not truncations.any()
    envs.send([3, 3])
    again, _, _, truncations, _ = envs.recv(2)
    assert again.tolist() == observations.tolist()
    assert truncations.all()


def test_a_hang_beyond_step_timeout_is_a_death(made: Any, tmp_path: Path) -> None:
    fns: list[Any] = counting_fns(2)
    fns[1] = Once(tmp_path / "once", lambda: HangingEnv(index=1), 1)
    envs = made(fns, num_workers=2, step_timeout=1.5)
    envs.reset(seed=0)
    envs.send([0, 0])
    assert envs.recv(2)[3].tolist() == [False, True]


def test_a_reset_is_made_again_with_what_it_was_given(made: Any, tmp_path: Path) -> None:
    class Drawing(CountingEnv):
        def reset(self, **kwargs: Any) -> Any:
            observation, info = super().reset(**kwargs)
            return observation, {
                **info,
                "seed": self.np_random_seed,
                "given": kwargs.get("options"),
            }

    gate = str(tmp_path / "gate")
    fns = [
        lambda: Drawing(0, (9,)),
        Once(tmp_path / "once", lambda: GatedEnv(gate, "reset", index=1)),
    ]
    fns[1].after = lambda: Drawing(1, (9,))  # type: ignore[attr-defined]
    envs = made(fns, num_workers=2)
    envs.async_reset(seed=[5, 6], options={"level": 2})
    os.kill(read_pid(Path(f"{gate}.waiting")), signal.SIGKILL)
    infos = envs.recv(2)[4]
    assert infos["seed"].tolist() == [5, 6]
    assert infos["given"]["level"].tolist() == [2, 2]
    assert infos["worker_restarted"].tolist() == [False, True]
    kill(envs.processes[1].pid)
    envs.async_reset()
    assert envs.recv(2)[4]["seed"].tolist()[1] == fresh_seed(6, 2)


def test_large_rows_stay(made: Any) -> None:
    """Rows that are handed out in place are kept until the env has others."""

    class Large(CountingEnv):
        def __init__(self) -> None:
            super().__init__(lengths=(10**6,))
            self.observation_space = Box(0, 255, (64, 64), np.uint8)

        def _observation(self, action: Any) -> Any:
            return np.full((64, 64), self.t, np.uint8)

    envs = made([Large] * 16, num_workers=2, batch_size=8, slots=3)
    envs.reset(seed=0)
    envs.send([0] * 16)
    held = [envs.recv(8)]
    for t in range(1, 3):
        envs.send([0] * 8, held[-1][4]["env_id"])
        held.append(envs.recv(8))
        del held[: t - 1]
    kill(envs.processes[1].pid)
    ends = np.zeros(16, int)  # of which the first may be among those that were under way
    for sent in (False, True, False):
        if sent:
            envs.send([0] * 16)
        observations, _, _, truncations, infos = envs.recv(8)
        ends[infos["env_id"]] += truncations
        for row in observations:
            assert (row == row[0, 0]).all()
    assert ends.tolist() == [0] * 8 + [1] * 8
