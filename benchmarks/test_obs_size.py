# SPDX-License-Identifier: MIT
"""One step, by the size of an observation; the bare loop moves none."""

import functools

import pytest

from envring.bench import workloads
from envring.bench.workloads import Workload
from support.observing import Observing
from support.sides import STEPPERS, stepping

SHAPES = {"64 B": (64,), "27.6 KiB": (84, 84, 4), "98.4 KiB": (210, 160, 3)}


@pytest.mark.parametrize("side", STEPPERS)
@pytest.mark.parametrize("num_envs", [8, 64])
@pytest.mark.parametrize("size", SHAPES)
def test_step_by_observation(interleaved, side, size, num_envs):
    workload = Workload(size, size, functools.partial(Observing, SHAPES[size]))
    interleaved(
        side, f"observations, {size} x {num_envs}", stepping(workload, num_envs), "an env step"
    )


@pytest.mark.parametrize("side", STEPPERS)
def test_step_with_dict(interleaved, side):
    sides = stepping(workloads.find("dict5"), 64)
    interleaved(side, "observations, Dict of 5 x 64", sides, "an env step")
