# SPDX-License-Identifier: MIT
"""One step of 64 envs, by what their infos hold."""

import functools

import pytest

from envring.bench.workloads import Workload
from support.observing import Telling
from support.sides import STEPPERS, stepping

KEYS = {"0 keys": 0, "1 key": 1, "5 keys": 5, "20 keys": 20, "objects": None}


@pytest.mark.parametrize("side", STEPPERS)
@pytest.mark.parametrize("infos", KEYS)
def test_step_by_infos(interleaved, side, infos):
    workload = Workload(infos, infos, functools.partial(Telling, KEYS[infos]))
    interleaved(side, f"infos, {infos} x 64", stepping(workload, 64), "an env step")
