# SPDX-License-Identifier: MIT
"""One step of a whole batch, by the number of envs."""

import pytest

from envring.bench import workloads
from support.sides import STEPPERS, stepping

CELLS = [("null", 1), ("null", 2), ("null", 8), ("null", 64)]
CELLS += [("cartpole", 1), ("cartpole", 8), ("cartpole", 64)]


@pytest.mark.parametrize("side", STEPPERS)
@pytest.mark.parametrize(("name", "num_envs"), CELLS)
def test_step(interleaved, side, name, num_envs):
    sides = stepping(workloads.find(name), num_envs)
    interleaved(side, f"step, {name} x {num_envs}", sides, "an env step")
