# SPDX-License-Identifier: MIT
"""Restarts of the process of one env: its end as gymnasium.Env has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Text

from envring import RingEnv, WorkerDied, WorkerRestarted, make
from envring.pool.seeds import fresh_seed
from envring.testing import CountingEnv, HangingEnv, assert_same_batch
from support.rebuilt import DrawingEnv, Rebuilt
from support.restarts import Once, kill


@pytest.fixture
def made() -> Iterator[Callable[..., RingEnv]]:
    envs: list[RingEnv] = []

    def make(fn: Any, **kwargs: Any) -> RingEnv:
        envs.append(RingEnv(fn, **kwargs))
        return envs[-1]

    yield make
    for each in envs:
        each.close()


def process_of(env: RingEnv) -> Any:
    assert env._batcher is not None
    return env._batcher.pool.processes[0]


@pytest.mark.parametrize("loop", ["compiled", "reference"])
def test_a_death_is_an_end(loop: Any, made: Any) -> None:
    env = made(lambda: DrawingEnv(3, (99,)), on_worker_death="restart", step_loop=loop)
    env.reset(seed=5)
    for restarts in (1, 2):
        env.step(1)
        last = env.step(2)[0]
        kill(process_of(env).pid)
        observation, reward, terminated, truncated, info = env.step(4)
        assert observation.tolist() == last.tolist() == [3, 0, restarts + 1, 2]
        assert (reward, terminated, truncated) == (0.0, False, True)
        assert info == {"worker_restarted": True}
        observation, info = env.reset()
        assert observation.tolist() == [3, 0, 0, -1]
        assert info["seed"] == fresh_seed(5, restarts)
        assert "worker_restarted" not in info
        assert env.step(1)[0].tolist() == [3, 0, 1, 1]


def test_the_last_observation_of_an_env_without_infos(made: Any) -> None:
    """Its steps take the short way."""
    env = made(lambda: gym.make("CartPole-v1"), on_worker_death="restart")
    env.reset(seed=5)
    for number in range(5):
        last = env.step(number % 2)[0]
    kill(process_of(env).pid)
    assert env.step(0)[0].tolist() == last.tolist()


def test_a_death_in_a_reset(made: Any) -> None:
    env = made(lambda: DrawingEnv(), on_worker_death="restart")
    env.reset(seed=5)
    kill(process_of(env).pid)
    observation, info = env.reset(seed=7)
    assert observation[2] == 0
    assert (info["seed"], info["worker_restarted"]) == (7, True)


def test_a_hang_is_a_death(made: Any, tmp_path: Path) -> None:
    fn = Once(tmp_path / "once", HangingEnv)
    env = made(fn, on_worker_death="restart", step_timeout=0.3)
    env.reset()
    assert env.step(0)[2:4] == (False, True)
    env.reset()
    assert env.step(0)[2:4] == (False, False)


def test_calls_may_be_asked_again(made: Any) -> None:
    env = made(CountingEnv, on_worker_death="restart")
    env.reset()
    kill(process_of(env).pid)
    with pytest.raises(WorkerRestarted, match="env 0"):
        env.get_wrapper_attr("gravity")
    assert env.get_wrapper_attr("gravity") == 9.8
    assert env.step(0)[3]


def test_too_many(made: Any) -> None:
    env = made(CountingEnv, on_worker_death="restart", max_restarts=1)
    env.reset()
    kill(process_of(env).pid)
    env.step(0)
    kill(process_of(env).pid)
    with pytest.raises(WorkerDied, match="max_restarts"):
        env.step(0)


def test_large_and_odd_observations(made: Any) -> None:
    """The last one stays as it was, however it is stored."""

    class Large(gym.Env[Any, Any]):
        observation_space = Dict({"pixels": Box(0, 255, (200, 200), np.uint8), "word": Text(9)})
        action_space = gym.spaces.Discrete(2)
        t = 0

        def observe(self) -> Any:
            return {"pixels": np.full((200, 200), self.t, np.uint8), "word": f"t{self.t}"}

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            self.t = 0
            return self.observe(), {}

        def step(self, action: Any) -> Any:
            self.t += 1
            return self.observe(), 1.0, False, False, {}

    env = made(Large, on_worker_death="restart")
    env.reset()
    for _ in range(7):
        last = env.step(0)[0]
    kill(process_of(env).pid)
    observation = env.step(0)[0]
    assert (observation["pixels"] == 7).all()
    assert observation["word"] == "t7"
    assert (last["pixels"] == 7).all()


@pytest.mark.parametrize("every", [{"episodes": 2}, {"steps": 8}], ids=["episodes", "steps"])
def test_replaced_between_episodes(every: Any, made: Any) -> None:
    env = made(lambda: DrawingEnv(lengths=(5, 4, 6)), restart_every=every)
    oracle = Rebuilt(lambda: DrawingEnv(lengths=(5, 4, 6)), 2)
    told = 0
    for episode in range(7):
        seed = 3 if episode == 0 else None
        ours, theirs = env.reset(seed=seed), oracle.reset(seed=seed)
        assert_same_batch(ours, theirs)
        told += ours[1].get("worker_restarted", False)
        ended = False
        while not ended:
            results = env.step(1)
            assert_same_batch(results, oracle.step(1))
            ended = results[2] or results[3]
    assert told == 3


def test_make_takes_the_arguments() -> None:
    env = make("CartPole-v1", on_worker_death="restart", restart_every={"episodes": 1})
    env.reset(seed=0)
    assert env.reset()[1]["worker_restarted"]
    env.close()
