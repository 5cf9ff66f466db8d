# SPDX-License-Identifier: MIT
"""What a batcher tells its observer of the steps of a vector env."""

import numpy as np
import pytest

from envring import RingVectorEnv
from envring.testing import CountingEnv

ZEROS = np.zeros(2, np.int64)


class Told:
    """Keeps what it is told."""

    def __init__(self):
        self.events, self.nanoseconds = [], 0

    def step_started(self):
        self.events.append("started")

    def arrays_taken(self, nanoseconds):
        self.events.append("taken")
        self.nanoseconds += nanoseconds


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_observer_is_told_of_each_step_while_it_is_there(num_workers, copy):
    envs = RingVectorEnv([CountingEnv] * 2, num_workers=num_workers, copy=copy)
    try:
        envs.reset(seed=1)
        told = envs._batcher.observer = Told()
        for _ in range(3):
            told.events.clear()
            envs.step(ZEROS)
            assert told.events[0] == "started"
            assert set(told.events[1:]) == {"taken"}
        assert told.nanoseconds > 0
        envs._batcher.observer = None
        told.events.clear()
        envs.step(ZEROS)
        assert told.events == []
    finally:
        envs.close()
