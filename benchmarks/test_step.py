# SPDX-License-Identifier: MIT
"""One step of a whole batch, by the number of envs."""

import numpy as np
import pytest

from envring.bench import workloads


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("num_envs", [1, 8, 64])
@pytest.mark.parametrize("name", ["null", "cartpole"])
def test_step(benchmark, build, name, num_envs):
    benchmark.group = f"step, {name} x {num_envs}"
    envs = build([workloads.find(name).make] * num_envs)
    try:
        envs.reset(seed=1)
        benchmark(envs.step, np.zeros(num_envs, np.int64))
    finally:
        envs.close()
