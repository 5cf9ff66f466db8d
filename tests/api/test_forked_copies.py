# SPDX-License-Identifier: MIT
"""Arrays that were handed out do not change in forked copies of the caller either."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from envring import RingVectorEnv
from envring.testing import CountingEnv

SHAPE = (64, 64, 4)  # large enough to be handed out in place


class Images(CountingEnv):
    """Counts in every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Box(0, 255, SHAPE, np.uint8)
        self.count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """All zeros."""
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(SHAPE, np.uint8), {}

    def step(self, action: Any) -> Any:
        """One more."""
        self.count += 1
        return np.full(SHAPE, self.count % 256, np.uint8), 0.0, False, False, {}


@pytest.fixture
def envs() -> Iterator[RingVectorEnv[Any, Any]]:
    envs = RingVectorEnv([Images] * 2, num_workers=1, slots=3)
    envs.reset()
    yield envs
    envs.close()


class Copy:
    """A forked copy that says at its end whether an array changed."""

    def __init__(self, array: np.ndarray) -> None:
        self.go, told = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the test runner has threads
            self.pid = os.fork()
        if self.pid == 0:
            os.close(told)
            before = array.copy()
            os.read(self.go, 1)
            os._exit(0 if np.array_equal(array, before) else 1)
        os.close(self.go)
        self.told = told

    def end(self) -> int:
        """Its exit code."""
        os.write(self.told, b"!")
        os.close(self.told)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_arrays_stay_in_the_copy(envs: RingVectorEnv[Any, Any]) -> None:
    observations = envs.step([0, 0])[0]
    copy = Copy(observations)
    del observations
    for _ in range(8):
        envs.step([0, 0])
    assert copy.end() == 0


def test_slots_come_back_with_the_end_of_the_copy(envs: RingVectorEnv[Any, Any]) -> None:
    slots = envs._batcher.slots  # type: ignore[union-attr]
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        observations = envs.step([0, 0])[0]
        copy = Copy(observations)
        del observations
        assert copy.end() == 0
        envs.step([0, 0])
    kept = [envs.step([0, 0])[0] for _ in range(3)]
    assert slots.leased == 3
    assert len({array.__array_interface__["data"][0] for array in kept}) == 3
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert [int(array[0, 0, 0, 0]) for array in kept] == [41, 42, 43]


def test_without_a_free_slot_batches_are_copied(envs: RingVectorEnv[Any, Any]) -> None:
    first = [envs.step([0, 0])[0] for _ in range(3)]
    copies = [Copy(array) for array in first]
    del first
    later = [envs.step([0, 0])[0] for _ in range(4)]
    assert [int(array[0, 0, 0, 0]) for array in later] == [4, 5, 6, 7]
    assert [copy.end() for copy in copies] == [0, 0, 0]
