# SPDX-License-Identifier: MIT
"""One step of 64 envs, by the form in which the caller gives the actions."""

import functools

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary

from support.observing import Acting
from support.sides import VECTOR_ENVS, sending

NUM_ENVS = 64
TWO = Discrete(2)
JOINTS = Box(-1.0, 1.0, (6,), np.float32)
FORMS = {
    "int64 array": (TWO, np.zeros(NUM_ENVS, np.int64)),
    "int32 array": (TWO, np.zeros(NUM_ENVS, np.int32)),
    "list of ints": (TWO, [0] * NUM_ENVS),
    "list of int64": (TWO, [np.int64(0)] * NUM_ENVS),
    "float32 array x 6": (JOINTS, np.zeros((NUM_ENVS, 6), np.float32)),
    "float64 array x 6": (JOINTS, np.zeros((NUM_ENVS, 6))),
    "list of rows": (JOINTS, [np.zeros(6, np.float32)] * NUM_ENVS),
    "dict of arrays": (
        Dict({"buttons": MultiBinary(4), "joints": JOINTS}),
        {
            "buttons": np.zeros((NUM_ENVS, 4), np.int8),
            "joints": np.zeros((NUM_ENVS, 6), np.float32),
        },
    ),
}


@pytest.mark.parametrize("side", VECTOR_ENVS)
@pytest.mark.parametrize("form", FORMS)
def test_step_by_actions(interleaved, side, form):
    space, actions = FORMS[form]
    sides = sending(functools.partial(Acting, space), NUM_ENVS, actions)
    interleaved(side, f"actions, {form} x {NUM_ENVS}", sides)
