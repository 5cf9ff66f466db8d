# SPDX-License-Identifier: MIT
"""Construction, and close, of CartPoles by the number of envs, with the default context."""

import pytest

from envring.bench import workloads
from support.sides import VECTOR_ENVS, closing, starting

MOST_ROUNDS = 9


@pytest.mark.parametrize("side", VECTOR_ENVS)
@pytest.mark.parametrize("num_envs", [8, 64])
def test_start(interleaved, side, num_envs):
    sides = starting(workloads.find("cartpole").make, num_envs)
    interleaved(side, f"start, cartpole x {num_envs}", sides, "a start", most=MOST_ROUNDS)


@pytest.mark.parametrize("side", VECTOR_ENVS)
@pytest.mark.parametrize("num_envs", [8, 64])
def test_close(interleaved, side, num_envs):
    sides = closing(workloads.find("cartpole").make, num_envs)
    interleaved(side, f"close, cartpole x {num_envs}", sides, "a close", most=MOST_ROUNDS)
