# SPDX-License-Identifier: MIT
"""Infos as bytes and back: the codec beside marshal and pickle, which cannot replace it."""

import contextlib
import functools
import marshal
import pickle

import numpy as np
import pytest

from envring.transport import codec
from support.interleaved import repeated

EIGHT = {"lives": 3, "reward": 1.0, "ok": True, "none": None, "name": "xyz", "speed": 3.5}
INFOS = {
    "{}": {},
    "3 ints": {"a": 1, "b": 2, "c": 3},
    "8 keys, nested": {**EIGHT, "frame": 7, "pos": {"x": 1, "y": 2.0, "z": "q"}},
    "2 arrays": {"a": np.ones(3, np.float32), "b": np.ones((4, 5)), "c": {"x": 1}},
}
WAYS = {
    "codec": (codec.dumps, codec.loads),
    # writes arrays as bare bytes, and can load code
    "marshal": (lambda value: marshal.dumps(value, 2), marshal.loads),
    "pickle": (functools.partial(pickle.dumps, protocol=2), pickle.loads),
}


def sides(operation):
    """Of each way: `operation` of its two functions."""
    takes = {name: repeated(operation(*way)) for name, way in WAYS.items()}
    return {name: functools.partial(contextlib.nullcontext, take) for name, take in takes.items()}


@pytest.mark.parametrize("side", WAYS)
@pytest.mark.parametrize("info", INFOS)
def test_dumps(interleaved, side, info):
    ways = sides(lambda dumps, loads: functools.partial(dumps, INFOS[info]))
    interleaved(side, f"dumps, {info}", ways, "an info")


@pytest.mark.parametrize("side", WAYS)
@pytest.mark.parametrize("info", INFOS)
def test_loads(interleaved, side, info):
    ways = sides(lambda dumps, loads: functools.partial(loads, dumps(INFOS[info])))
    interleaved(side, f"loads, {info}", ways, "an info")
