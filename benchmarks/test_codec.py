# SPDX-License-Identifier: MIT
"""Infos as bytes and back: the codec beside marshal and pickle, which cannot be used for it."""

import functools
import marshal
import pickle

import numpy as np
import pytest

from envring import codec

EIGHT = {"lives": 3, "reward": 1.0, "ok": True, "none": None, "name": "xyz", "speed": 3.5}
INFOS = {
    "{}": {},
    "3 ints": {"a": 1, "b": 2, "c": 3},
    "8 keys, nested": {**EIGHT, "frame": 7, "pos": {"x": 1, "y": 2.0, "z": "q"}},
    "2 arrays": {"a": np.ones(3, np.float32), "b": np.ones((4, 5)), "c": {"x": 1}},
}
WAYS = {
    "codec": (codec.dumps, codec.loads),
    # writes arrays as bare bytes, and reads what executes
    "marshal": (lambda value: marshal.dumps(value, 2), marshal.loads),
    "pickle": (functools.partial(pickle.dumps, protocol=2), pickle.loads),
}


@pytest.mark.parametrize("info", INFOS)
@pytest.mark.parametrize("way", WAYS)
def test_dumps(benchmark, way, info):
    benchmark.group = f"dumps, {info}"
    benchmark(WAYS[way][0], INFOS[info])


@pytest.mark.parametrize("info", INFOS)
@pytest.mark.parametrize("way", WAYS)
def test_loads(benchmark, way, info):
    benchmark.group = f"loads, {info}"
    dumps, loads = WAYS[way]
    benchmark(loads, dumps(INFOS[info]))
