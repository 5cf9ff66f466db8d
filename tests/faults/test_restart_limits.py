# SPDX-License-Identifier: MIT
"""on_worker_death="restart": how often, with which seeds, how it ends, and what is refused."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Text

from envring import EnvringError, EnvSource, LauncherError, RingVectorEnv, WorkerDied
from envring.pool.seeds import fresh_seed
from envring.testing import CountingEnv
from support.processes import assert_gone, counting_fns, read_pid
from support.restarts import kill

MODES = ["NextStep", "SameStep", "Disabled"]


# -- limits, seeds, the end ----------------------------------------------------------------------


def test_too_many_restarts_are_an_error(made: Any) -> None:
    envs = made(counting_fns(2), num_workers=2, max_restarts=2, restart_window=60.0)
    envs.reset()
    for _ in range(2):
        kill(envs.processes[0].pid)
        envs.step([0, 0])
    kill(envs.processes[1].pid)
    envs.step([0, 0])  # each worker is counted by itself
    kill(envs.processes[0].pid)
    for _ in range(2):
        with pytest.raises(WorkerDied) as caught:
            envs.step([0, 0])
        assert caught.value.restarts == 2
        assert "started again 2 times within 60 seconds" in str(caught.value)


def test_restarts_of_one_worker_keep_a_distance(made: Any) -> None:
    envs = made(counting_fns(1), num_workers=1)
    envs.reset()
    took = []
    for _ in range(3):
        kill(envs.processes[0].pid)
        start = time.monotonic()
        envs.step([0])
        took.append(time.monotonic() - start)
    assert took[1] > 0.1
    assert took[2] > 0.2


def test_seeds_follow_from_those_that_were_given(made: Any) -> None:
    class Drawing(CountingEnv):
        def reset(self, **kwargs: Any) -> Any:
            observation, info = super().reset(**kwargs)
            return observation, {**info, "drawn": int(self.np_random.integers(10**9))}

    def drawn(seed: int) -> int:
        return int(np.random.default_rng(np.random.PCG64(seed)).integers(10**9))

    envs = made([lambda: Drawing(lengths=(10**6,))] * 2, num_workers=2)
    envs.reset(seed=[7, 11])
    for restarts in (1, 2):
        kill(envs.processes[1].pid)
        envs.step([0, 0])
        infos = envs.step([0, 0])[4]
        assert infos["drawn"][1] == drawn(fresh_seed(11, restarts))
    kill(envs.processes[1].pid)
    _, infos = envs.reset(seed=[7, 12])  # what is asked for counts
    assert infos["drawn"].tolist() == [drawn(7), drawn(12)]


def test_numbers_go_on(made: Any) -> None:
    envs = made(counting_fns(2), num_workers=2)
    envs.publish()
    envs.reset()
    for _ in range(100):
        envs.step([0, 0])
    before = envs.stats()
    kill(envs.processes[1].pid)
    for _ in range(10):
        envs.step([0, 0])
    passed = envs.stats().since(before)
    assert [worker.restarts for worker in passed.workers] == [0, 1]
    for worker in passed.workers:
        assert worker.batches == 10
        assert min(worker.spins, worker.sleeps, worker.slow_rows, worker.spin_seconds) >= 0
    published = envs._batcher.pool.belongings.published
    assert [worker["pid"] for worker in published.content["workers"]] == [
        process.pid for process in envs.processes
    ]


def test_large_observations_and_others(made: Any) -> None:
    """Batches that are handed out in place, and those of no fixed size."""

    class Large(gym.Env[Any, Any]):
        observation_space = Dict({"pixels": Box(0, 255, (64, 64), np.uint8), "word": Text(9)})
        action_space = gym.spaces.Discrete(2)
        t = 0

        def observe(self) -> Any:
            return {"pixels": np.full((64, 64), self.t, np.uint8), "word": f"t{self.t}"}

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            self.t = 0
            return self.observe(), {}

        def step(self, action: Any) -> Any:
            self.t += 1
            return self.observe(), 1.0, False, False, {}

    for mode in MODES:
        envs = made([Large] * 8, num_workers=2, autoreset_mode=mode, slots=3)
        envs.reset(seed=0)
        held = [envs.step([0] * 8)[0] for _ in range(5)]  # of which the last are copied
        del held[3]
        kill(envs.processes[1].pid)
        observations, _, _, truncations, infos = envs.step([0] * 8)
        assert truncations.tolist() == [False] * 4 + [True] * 4
        assert infos["worker_restarted"].tolist() == truncations.tolist()
        last = observations
        if mode == "SameStep":
            assert (observations["pixels"][4:] == 0).all()
            assert observations["word"][4:] == ("t0",) * 4
            last = {
                "pixels": np.stack([each["pixels"] for each in infos["final_obs"][4:]]),
                "word": tuple(each["word"] for each in infos["final_obs"][4:]),
            }
            assert (last["pixels"] == 5).all()
            assert last["word"] == ("t5",) * 4
        else:
            assert (last["pixels"][4:] == 5).all()
            assert last["word"][4:] == ("t5",) * 4
        assert (observations["pixels"][:4] == 6).all()
        assert (held[-1]["pixels"] == 5).all()


def test_close_while_a_worker_is_started_again(made: Any, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def make() -> Any:
        if gate.exists():
            gate.with_suffix(".built").write_text(str(os.getpid()))
            time.sleep(60)
        return CountingEnv(1, (99,))

    envs = made([*counting_fns(1), make], num_workers=2)
    envs.reset()
    gate.touch()
    kill(envs.processes[1].pid)
    envs.step_async([0, 0])
    with pytest.raises(multiprocessing.TimeoutError):
        envs.step_wait(timeout=0.2)
    pid = read_pid(gate.with_suffix(".built"))
    with pytest.warns(RuntimeWarning, match="had to kill the worker of env 1"):
        envs.close(timeout=0.2)
    assert_gone(pid, 5)


def test_close_after_an_unnoticed_death(made: Any) -> None:
    envs = made(counting_fns(2), num_workers=2)
    envs.reset()
    kill(envs.processes[1].pid)
    envs.close()


def test_successor_with_other_spaces_is_refused(tmp_path: Path, made: Any) -> None:
    class Other(CountingEnv):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = Box(0, 1, (5,), np.float32)

    path = tmp_path / "made"

    def make() -> Any:
        if path.exists():
            return Other()
        path.touch()
        return CountingEnv()

    envs = made([make], num_workers=1, max_restarts=1)
    envs.reset()
    kill(envs.processes[0].pid)
    with pytest.raises(EnvringError, match="other observation spaces"):
        envs.step([0])


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"on_worker_death": "ignore"}, ValueError),
        ({"max_restarts": 0}, ValueError),
        ({"restart_window": -1.0}, ValueError),
        ({"num_workers": 0}, LauncherError),
    ],
)
def test_refused(kwargs: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        RingVectorEnv(counting_fns(2), **{"on_worker_death": "restart", "num_workers": 2, **kwargs})


@pytest.mark.parametrize(
    ("place", "advice"),
    [
        ({"num_workers": 0}, "num_workers=1"),
        ({"launcher": "docker:image"}, "Run `envring serve` in the container"),
    ],
)
def test_a_refusal_says_what_to_do(place: dict[str, Any], advice: str) -> None:
    with pytest.raises(LauncherError, match=advice):
        RingVectorEnv([EnvSource("CartPole-v1")], on_worker_death="restart", **place)
