# SPDX-License-Identifier: MIT
"""What replaces dead workers keeps nothing alive."""

import gc
import weakref

import numpy as np
import pytest

from envring import RingVectorEnv
from envring.testing import CountingEnv


@pytest.mark.parametrize("every", [None, {"episodes": 1}])
@pytest.mark.parametrize("policy", ["raise", "restart"])
@pytest.mark.parametrize("closed", [True, False])
def test_a_pool_goes_with_its_envs_without_the_collector(policy, closed, every):
    gc.collect()
    gc.disable()
    try:
        envs = RingVectorEnv(
            [CountingEnv] * 2, num_workers=1, on_worker_death=policy, restart_every=every
        )
        envs.reset()
        for _ in range(6):
            envs.step(np.zeros(2, np.int64))
        pool = weakref.ref(envs._batcher.pool)
        if closed:
            envs.close()
        del envs
        assert pool() is None
    finally:
        gc.enable()
