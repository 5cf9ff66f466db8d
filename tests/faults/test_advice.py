# SPDX-License-Identifier: MIT
"""Errors that say what to do."""

from __future__ import annotations

import multiprocessing
import pdb
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from envring import RingVectorEnv
from envring.testing import CountingEnv, SpaceEnv
from envring.testing.conformance_base import quiet


class Habits(CountingEnv):
    def start_child(self) -> None:
        child = multiprocessing.Process(target=print)
        child.start()
        child.join()

    def ask(self) -> str:
        return input()

    def debug(self) -> None:
        pdb.Pdb().set_trace()


@pytest.mark.parametrize(
    ("method", "kind", "cure"),
    [
        ("start_child", "AssertionError", "daemon=False"),
        ("ask", "EOFError", "num_workers=0"),
        ("debug", "BdbQuit", "num_workers=0"),
    ],
)
def test_what_works_only_outside_of_a_worker(method: str, kind: str, cure: str, capfd: Any) -> None:
    envs = RingVectorEnv([Habits, Habits], num_workers=1)
    try:
        with quiet(), pytest.raises(Exception) as caught:
            envs.call(method)
        assert type(caught.value).__name__ == kind
        assert cure in "".join(caught.value.__notes__)
    finally:
        envs.close()
    capfd.readouterr()


class Vector(CountingEnv):
    def step(self, action: Any) -> Any:
        observation, _, *rest = super().step(action)
        return observation, np.ones(3), *rest


@pytest.mark.parametrize("loop", ["compiled", "reference"])
@pytest.mark.parametrize("workers", [0, 2])
def test_reward_that_is_a_vector(loop: Any, workers: int) -> None:
    envs = RingVectorEnv([CountingEnv, CountingEnv, Vector], num_workers=workers, step_loop=loop)
    try:
        envs.reset()
        with quiet(), pytest.raises(ValueError, match=r"env 2 returned a reward of shape \(3,\)"):
            envs.step([0, 0, 0])
    finally:
        envs.close()


@pytest.mark.parametrize("mode", ["same", "different"])
def test_both_spaces_are_shown(mode: str) -> None:
    def boxed(shape: tuple[int, ...], actions: int = 2) -> Any:
        return lambda: SpaceEnv(Box(0, 1, shape, np.float32), Discrete(actions))

    with pytest.raises(RuntimeError) as caught:
        RingVectorEnv([boxed((2,)), boxed((2,)), boxed((7,))], observation_mode=mode)
    assert "(7,)" in str(caught.value)
    assert "(2,)" in str(caught.value)
    with pytest.raises(RuntimeError) as caught:
        RingVectorEnv([boxed((2,)), boxed((2,), 5)], observation_mode=mode)
    assert "Discrete(2)" in str(caught.value)
    assert "Discrete(5)" in str(caught.value)


def test_id_that_a_worker_does_not_know() -> None:
    with quiet(), pytest.raises(gymnasium.error.NameNotFound) as caught:
        RingVectorEnv([lambda: gymnasium.make("NoSuchEnv-v0")])
    assert "envring.make_vec" in "".join(caught.value.__notes__)
