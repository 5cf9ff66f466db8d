# SPDX-License-Identifier: MIT
"""Envs that share the state of a worker's process."""

from __future__ import annotations

import multiprocessing
import random
import sys
import threading
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from envring import EnvringError, RingVectorEnv, WorkerTimeout
from envring.testing import CountingEnv, FailingEnv, SpaceEnv
from envring.testing.conformance_base import quiet
from support.processes import CONTEXTS


class Drawing(SpaceEnv):
    """Observes what the global generators give: of NumPy, then of Python."""

    def __init__(self) -> None:
        super().__init__(Box(0, 1, (2,), np.float64), Discrete(2))

    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        return np.array([np.random.random(), random.random()]), {}


def draw(context: str | None = "fork", num_workers: int = 2) -> Any:
    """What two envs draw."""
    envs = RingVectorEnv([Drawing] * 2, context=context, num_workers=num_workers)
    try:
        return np.array(envs.reset()[0])
    finally:
        envs.close()


@pytest.fixture
def _generators() -> Any:
    """Leaves the global generators as they were."""
    states = random.getstate(), np.random.get_state(legacy=False)
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])


@pytest.mark.parametrize("context", CONTEXTS)
def test_global_generators_differ_between_workers(context: str) -> None:
    drawn = np.concatenate([draw(context), draw(context)])
    assert len(np.unique(drawn)) == drawn.size


@pytest.mark.usefixtures("_generators")
@pytest.mark.parametrize("context", CONTEXTS)
def test_global_generators_follow_from_the_callers(
    context: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that seeds its own generators draws the same whenever it runs."""

    def run() -> Any:
        monkeypatch.setattr("envring.workers.seeding._numbers", iter(range(100)))
        np.random.seed(7)
        random.seed(7)
        drawn = draw(context)
        return drawn, np.random.random(), random.random()

    first, again = run(), run()
    assert np.array_equal(first[0], again[0])
    assert first[1:] == again[1:]
    np.random.seed(7)
    random.seed(7)
    assert first[1:] == (np.random.random(), random.random())  # no worker moved them


@pytest.mark.usefixtures("_generators")
def test_global_generators_of_the_caller_are_not_seeded() -> None:
    np.random.seed(7)
    expected = np.random.random(2)
    np.random.seed(7)
    assert np.array_equal(draw(num_workers=0)[:, 0], expected)


def test_global_generator_of_another_kind() -> None:
    """One that np.random.seed refuses."""
    ours = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(7))
    try:
        drawn = draw()
    finally:
        np.random.set_bit_generator(ours)
    assert len(np.unique(drawn)) == drawn.size


class OnePerProcess(CountingEnv):
    """A simulator that exists once per process."""

    def __init__(self, error: Any = RuntimeError) -> None:
        if hasattr(sys, "_simulator_of_tests"):
            raise error("Cannot create multiple emulator instances per process")
        super().__init__()
        sys._simulator_of_tests = True  # type: ignore[attr-defined]

    def close(self) -> None:
        del sys._simulator_of_tests  # type: ignore[attr-defined]


def untravelled(text: str) -> Exception:
    """An error that cannot be sent."""
    return RuntimeError(text, threading.Lock())


@pytest.mark.parametrize("workers", [0, 2])
def test_second_env_of_a_process_that_takes_one(workers: int) -> None:
    with quiet(), pytest.raises(RuntimeError, match=r"^Cannot create multiple emu") as caught:
        RingVectorEnv([OnePerProcess] * 4, num_workers=workers)
    assert type(caught.value) is RuntimeError
    assert "Env 0 was built before it" in "".join(caught.value.__notes__)
    assert "num_workers=num_envs" in "".join(caught.value.__notes__)


def test_second_env_whose_error_does_not_travel() -> None:
    with quiet(), pytest.raises(EnvringError, match="Cannot create multiple") as caught:
        RingVectorEnv([lambda: OnePerProcess(untravelled)] * 2, num_workers=1)
    assert "num_workers=num_envs" in "".join(caught.value.__notes__)


def test_one_env_per_process_is_enough() -> None:
    envs = RingVectorEnv([OnePerProcess] * 2, num_workers=2)
    envs.reset()
    envs.close()


def test_first_env_of_a_process_shares_nothing() -> None:
    fns = [CountingEnv, lambda: FailingEnv(lambda: KeyError("goal"), "init")]
    with quiet(), pytest.raises(KeyError) as caught:
        RingVectorEnv(fns, num_workers=2)
    assert "num_workers" not in "".join(caught.value.__notes__)


class Meeting(CountingEnv):
    """Two players of one game: a step of one ends when the other one steps, too."""

    def __init__(self, barrier: Any) -> None:
        super().__init__()
        self.barrier = barrier

    def step(self, action: Any) -> Any:
        self.barrier.wait()
        return super().step(action)


def test_envs_that_wait_for_each_other() -> None:
    def players(**kwargs: Any) -> Any:
        barrier = multiprocessing.get_context("fork").Barrier(2)
        envs = RingVectorEnv([lambda: Meeting(barrier)] * 2, context="fork", **kwargs)
        envs.reset()
        return envs

    envs = players(num_workers=2)
    try:
        assert envs.step([1, 1])[1].shape == (2,)
    finally:
        envs.close()
    envs = players(num_workers=1, step_timeout=0.5)
    try:
        with pytest.raises(WorkerTimeout, match="envs 0, 1"):
            envs.step([1, 1])
    finally:
        envs.close()
