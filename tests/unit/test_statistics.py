# SPDX-License-Identifier: MIT
"""Statistics words of the segment, and constants that are written down on both sides."""

import numpy as np
import pytest

from envring import RingVectorEnv, _core
from envring._foreign.envring_worker import main
from envring.testing import CountingEnv


def test_commands_have_the_same_numbers_on_both_sides():
    assert (main.OP_STEP, main.OP_MESSAGE) == (_core.OP_STEP, _core.OP_MESSAGE)


@pytest.mark.parametrize("step_loop", ["compiled", "reference"])
def test_workers_count_what_they_do(step_loop):
    envs = RingVectorEnv([CountingEnv] * 3, num_workers=2, step_loop=step_loop)
    try:
        envs.reset()
        for _ in range(100):  # beyond the steps that are watched for waiting
            envs.step(np.zeros(3, np.int64))
        core = envs._host.segment.core
        for worker, slice_size in enumerate((1, 2)):
            stats = core.stats(worker)
            assert stats["batches"] == 100
            assert stats["env_steps"] == 100 * slice_size
            assert stats["busy_ns"] > 0
        with pytest.raises(IndexError):
            core.stats(2)
        spins, parks, _ = envs._host.pool.port.wait_stats()
        assert spins + parks > 0
    finally:
        envs.close()
