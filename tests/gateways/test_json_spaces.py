# SPDX-License-Identifier: MIT
"""Spaces as JSON: every value arrives exactly, or is refused."""

import json
import math
from itertools import product

import numpy as np
import pytest
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    Sequence,
    Text,
    Tuple,
)
from gymnasium.vector.utils import create_empty_array

from envring.gateways.web import json_text, schemas, spaces
from envring.testing.spaces import example_spaces

KINDS = example_spaces()
CARRIED = sorted(KINDS.keys() - {"custom", "mixed"})


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return one == other


@pytest.mark.parametrize("orjson", [True, False], ids=["orjson", "json"])
@pytest.mark.parametrize("name", CARRIED)
def test_values_come_back(name, orjson, monkeypatch):
    if orjson:
        pytest.importorskip("orjson", reason="the fast reader and writer of JSON stay unchecked")
    else:
        monkeypatch.setattr(json_text, "orjson", None)
    space = KINDS[name]
    spaces.check(space)
    space.seed(3)
    for _ in range(1 if name == "box_64k" else 10):
        value = space.sample()
        data = spaces.encode(space, value)
        text = json_text.dumps(data)
        assert same(value, spaces.decode(space, json_text.loads(text)))
        assert json.loads(text) == json.loads(json_text.spell(data, {}))


@pytest.mark.parametrize("name", CARRIED)
def test_stacks_of_nothing(name):
    space = Sequence(KINDS[name], stack=True)
    value = create_empty_array(KINDS[name], 0)
    assert space.contains(value) and spaces.encode(space, value) == []
    found = spaces.decode(space, [])
    assert same(value, found) and space.contains(found)


@pytest.mark.parametrize("nodes", [Box(-1, 1, (2,)), Discrete(3)])
@pytest.mark.parametrize("edges", [Box(-1, 1, (2,)), Discrete(3), None])
def test_graphs_of_nothing(nodes, edges):
    space = Graph(nodes, edges)
    found = spaces.decode(space, {"nodes": []})
    assert found.nodes.shape == (0, *nodes.shape) and found.nodes.dtype == nodes.dtype
    assert spaces.encode(space, found) == {"nodes": [], "edges": None, "edge_links": None}
    if edges is None:
        return
    data = {"nodes": [[0.5, 0]] if nodes.shape else [1], "edges": [], "edge_links": []}
    found = spaces.decode(space, data)
    assert found.edges.shape == (0, *edges.shape) and found.edge_links.shape == (0, 2)
    assert spaces.encode(space, found) == data
    edge = {"edges": [[0.5, 0] if edges.shape else 1], "edge_links": [[0, 0]]}
    assert len(spaces.decode(space, data | edge).edges) == 1
    with pytest.raises(spaces.BadValue, match="no nodes"):
        spaces.decode(space, {"nodes": [], **edge})


@pytest.mark.parametrize("name", ["custom", "mixed"])
def test_what_json_cannot_say_is_refused(name):
    with pytest.raises(spaces.NotCarried, match="CustomSpace"):
        spaces.check(KINDS[name])
    with pytest.raises(spaces.NotCarried, match="not text"):
        spaces.check(Dict({1: Discrete(2)}))


@pytest.mark.parametrize("name", CARRIED)
def test_schemas_are_json(name):
    made = schemas.schema(KINDS[name])
    assert json.loads(json.dumps(made)) == made
    assert made["description"]


def test_a_schema_has_the_bounds():
    made = schemas.schema(Dict({"a": Discrete(3, start=-1), "b": Box(0, 2, (2, 3))}))
    a, b = made["properties"]["a"], made["properties"]["b"]
    assert (a["minimum"], a["maximum"]) == (-1, 1)
    assert (b["minItems"], b["items"]["maxItems"]) == (2, 3)
    assert b["items"]["items"] == {"type": "number", "minimum": 0.0, "maximum": 2.0}
    assert (made["required"], made["additionalProperties"]) == (["a", "b"], False)


FLOATS, BYTES = Box(-1, 1, (2,), np.float32), Box(0, 255, (2,), np.uint8)
LONG = Box(-(2**63), 2**63 - 1, (2,), np.int64)
UNSIGNED = Box(0, 2**64 - 1, (2,), np.uint64)


@pytest.mark.parametrize(
    ("space", "data"),
    [
        (FLOATS, [1]),
        (FLOATS, [1, 2, 3]),
        (FLOATS, [[1], [2]]),
        (FLOATS, [1, [2]]),
        (FLOATS, ["x" * 1000000, 1]),
        (FLOATS, [None, 1]),
        (FLOATS, [True, 1]),
        (FLOATS, [1e300, 0]),
        (FLOATS, [10**400, 0]),
        (FLOATS, {"0": 1}),
        (FLOATS, 1),
        (BYTES, [256, 0]),
        (BYTES, [-1, 0]),
        (BYTES, [0.5, 0]),
        (BYTES, [math.nan, 0]),
        (BYTES, [math.inf, 0]),
        (BYTES, [10**30, 0]),
        (BYTES, [1.5, 2**70]),
        (BYTES, [1.0, 2**70]),
        (BYTES, [True, 2**70]),
        (FLOATS, [1.5, 10**400]),
        (MultiDiscrete([3, 3]), [1.5, 2**70]),
        (LONG, [1.0, 2**63]),
        (LONG, [2.0**53, 0]),  # may have been written as 2**53 + 1.0
        (LONG, [-1, 2**63]),
        (UNSIGNED, [2**64, 0]),
        (UNSIGNED, [-1, 2**63]),
        (Discrete(3), 2.0**53),
        (Discrete(3), 3),
        (Discrete(3), -1),
        (Discrete(3), True),
        (Discrete(3), 0.5),
        (Discrete(3), "1"),
        (Discrete(3), None),
        (Discrete(3), [1]),
        (Discrete(3), 10**30),
        (MultiBinary(2), [0, 2]),
        (Text(3), "abcdef"),
        (Text(3), 7),
        (Tuple([Discrete(2)]), [0, 0]),
        (Tuple([Discrete(2)]), 0),
        (Sequence(Discrete(2)), {"a": 1}),
        (Sequence(Discrete(2)), [5]),
        (Dict({"a": Discrete(2)}), {}),
        (Dict({"a": Discrete(2)}), {"a": 0, "b": 0}),
        (Dict({"a": Discrete(2)}), []),
        (KINDS["one_of"], [3, 0]),
        (KINDS["one_of"], [-1, 0]),
        (KINDS["one_of"], [0]),
        (KINDS["graph"], {}),
        (KINDS["graph"], {"nodes": [[0, 0]], "edges": [0], "edge_links": [[0, 1]]}),
        (KINDS["graph"], {"nodes": [[0, 0]], "edges": [0]}),
        (KINDS["graph"], {"nodes": [[0, 0]], "edge_links": [[0, 0]]}),
    ],
)
def test_what_is_not_in_the_space_is_refused(space, data):
    with pytest.raises(spaces.BadValue):
        spaces.decode(space, data)


def test_integers_may_come_as_floats_and_the_other_way():
    assert spaces.decode(BYTES, [1.0, 255.0]).tolist() == [1, 255]
    assert spaces.decode(Discrete(3), 2.0) == 2
    assert spaces.decode(FLOATS, [1, 0]).dtype == np.float32
    assert spaces.decode(FLOATS, [math.inf, -5]).tolist() == [math.inf, -5]  # bounds are the env's


@pytest.mark.parametrize(
    "dtype", [f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)]
)
@pytest.mark.parametrize("orjson", [True, False], ids=["orjson", "json"])
def test_integers_are_exact(dtype, orjson, monkeypatch):
    if orjson:
        pytest.importorskip("orjson", reason="the fast reader and writer of JSON stay unchecked")
    else:
        monkeypatch.setattr(json_text, "orjson", None)
    whole = np.iinfo(dtype)
    space = Box(whole.min, whole.max, (3,), np.dtype(dtype).type)
    edges = [whole.min, whole.min + 1, 0, 1, whole.max - 1, whole.max]
    edges += [each for each in (2**53 + 1, 2**63 - 1, 2**63) if each < whole.max]
    for first, second, third in product(edges, repeat=3):
        value = np.array([first, second, third], dtype)
        text = json_text.dumps(spaces.encode(space, value))
        assert same(value, spaces.decode(space, json_text.loads(text)))
        mixed = [float(each) if abs(each) < 2**53 else each for each in (first, second)]
        assert same(value, spaces.decode(space, [*mixed, third]))
        for beyond in (whole.min - 1, whole.max + 1):
            with pytest.raises(spaces.BadValue):
                spaces.decode(space, json_text.loads(json.dumps([first, 1.0, beyond])))


def test_an_integer_of_65_bits_is_refused_in_whatever_company():
    for text in ("[1.5, 18446744073709551616]", "[1.5, 18446744073709551616, Infinity]"):
        for space in (BYTES, LONG, UNSIGNED, MultiDiscrete([3, 3])):
            with pytest.raises(spaces.BadValue):
                spaces.decode(space, json_text.loads(text)[:2])


def test_seeds():
    assert [spaces.seed_of(each) for each in (None, 0, 2.0, 2**64)] == [None, 0, 2, 2**64]
    assert type(spaces.seed_of(2.0)) is int
    for wrong in (-1, -1.0, 2.5, 2.0**53, math.nan, math.inf, True, "2", [1]):
        with pytest.raises(spaces.BadValue, match="a seed is an integer"):
            spaces.seed_of(wrong)


def test_infinities_and_nan():
    values = {"a": [1.5, math.inf, -math.inf], "b": np.array([math.inf] * 100)[:1]}
    text = json_text.dumps(values, json_text.HUGE)
    assert text == '{"a":[1.5,1e999,-1e999],"b":[1e999]}'
    assert json.loads(text)["a"] == [1.5, math.inf, -math.inf]
    assert json_text.dumps([math.nan, math.inf]) == "[NaN,Infinity]"
    assert math.isnan(json_text.loads("[NaN]")[0])
    with pytest.raises(json_text.NotJson):
        json_text.dumps([math.nan], json_text.HUGE)


@pytest.mark.parametrize(
    "text", ["", "nul", "[" * 100_000, "[[" * 200_000, b"\xff", "1" * 5000, '{"a":' * 5000]
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ValueError):
        json_text.loads(text)


def test_infos_become_json():
    class Strange:
        def __repr__(self):
            return "<strange>"

    info = {
        "array": np.arange(3, dtype=np.int8),
        "number": np.float32(0.5),
        "flag": np.bool_(True),
        "long": np.arange(100, dtype=">i4"),
        "big": 10**30,
        7: (1, {2}),
        "texts": np.array(["a", "b"]),
        "objects": np.array([None, "x"], dtype=object),
        "bytes": b"x",
        "strange": Strange(),
    }
    assert json.loads(json_text.dumps(json_text.plain(info))) == {
        "array": [0, 1, 2],
        "number": 0.5,
        "flag": True,
        "long": list(range(100)),
        "big": 10**30,
        "7": [1, [2]],
        "texts": ["a", "b"],
        "objects": [None, "x"],
        "bytes": "b'x'",
        "strange": "<strange>",
    }
    endless = []
    endless.append(endless)
    with pytest.raises(json_text.NotJson):
        json_text.plain(endless)


@pytest.mark.parametrize(
    "value",
    [
        [],
        [[1, -2], [3, 2**63 - 1]],
        [2**64, 10**30],
        [5.2e-5, 1.0],
        [1e15, 1e16],
        [0.1, -0.0, 1e15, 1e16, 1e-4, 1e-5, 5.2e-5, 1.5e300, 5e-324, 1 / 3],
        [True, None, "a,b", {"c,d": [1, 2.5]}],
        np.arange(100, dtype=np.float64) / 7,
        np.array([[1, 2]] * 40, np.int8),
        1 / 3,
        -0.0,
        1e22,
    ],
)
def test_spelling_is_that_of_the_standard_library(value):
    plain = value.tolist() if isinstance(value, np.ndarray) else value
    assert json_text.spell(value, json_text.HUGE) == json.dumps(plain)


def test_null_is_no_sign_of_infinity():
    assert json_text.dumps({"a": None, "b": [1.5]}) == '{"a":null,"b":[1.5]}'
    assert json_text.dumps({"a": None, "b": [math.nan]}) == '{"a":null,"b":[NaN]}'
    assert json_text.dumps(["null", math.inf]) == '["null",Infinity]'
