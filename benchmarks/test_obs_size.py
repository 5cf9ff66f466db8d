# SPDX-License-Identifier: MIT
"""One step of eight envs, by the size of an observation."""

import functools

import gymnasium
import numpy as np
import pytest

from envring.bench.workloads import NullEnv

SHAPES = {"64 B": (64,), "27.6 KiB": (84, 84, 4), "98.4 KiB": (210, 160, 3)}
NUM_ENVS = 8


class Observing(NullEnv):
    """Hands out one uint8 array of a given shape."""

    def __init__(self, shape):
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self._observation = np.zeros(shape, np.uint8)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("size", SHAPES)
def test_step_by_observation(benchmark, build, size):
    benchmark.group = f"step, {size} x {NUM_ENVS}"
    envs = build([functools.partial(Observing, SHAPES[size])] * NUM_ENVS)
    try:
        envs.reset(seed=1)
        benchmark(envs.step, np.zeros(NUM_ENVS, np.int64))
    finally:
        envs.close()
