# SPDX-License-Identifier: MIT
"""Spaces from a worker that may say anything."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from envring import EnvringError, SpaceDataError
from envring.batch.space_data import build_space, restore_value

LOW, HIGH = np.float32(-1)[...], np.float32(1)[...]
BOX = ("box", LOW, HIGH, "<f4", (2,))
DISCRETE = ("discrete", 3, 0, "<i8")
NVEC = np.array([3, 4])
has_dtype = pytest.mark.skipif(
    "dtype" not in inspect.signature(spaces.Discrete).parameters,
    reason="Discrete has a dtype from Gymnasium 1.2 on: too small a one stays untried",
)


def test_a_bound_for_all_elements():
    space = build_space(BOX)
    assert space == spaces.Box(-1, 1, (2,), np.float32)
    assert space.low.flags.writeable and space.low.shape == (2,)


def test_integers_without_bounds_are_sampled_as_such():
    space = build_space(("box", np.array(-np.inf), np.array(np.inf), "<i8", (2,)))
    assert space == spaces.Box(-np.inf, np.inf, (2,), np.int64)
    assert not space.bounded_below.any() and not space.bounded_above.any()


def test_keys_keep_their_order():
    space = build_space(("dict", [("z", DISCRETE), ("a", BOX), (3, DISCRETE)]))
    assert list(space.spaces) == ["z", "a", 3]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        (),
        "box",
        ["box", LOW, HIGH, "<f4", (2,)],
        (b"box", LOW, HIGH, "<f4", (2,)),
        (3, 0),
        ("sphere", 3),
        ("__class__",),
        BOX[:-1],
        (*BOX, 1),
        # bounds
        ("box", -1.0, HIGH, "<f4", (2,)),
        ("box", np.zeros(3, np.float32), HIGH, "<f4", (2,)),
        ("box", np.zeros((1, 2), np.float32), HIGH, "<f4", (2,)),
        ("box", np.zeros(2), HIGH, "<f4", (2,)),
        ("box", np.array(["a", "b"]), HIGH, "<f4", (2,)),
        ("box", np.array([None, None]), HIGH, "<f4", (2,)),
        ("box", HIGH, LOW, "<f4", (2,)),
        ("box", np.float32("nan")[...], HIGH, "<f4", (2,)),
        ("box", np.array(np.inf), np.array(-np.inf), "<i8", (2,)),
        ("box", np.array(-np.inf), np.array(np.inf), "|u1", (2,)),
        ("box", np.array([-np.inf, 0]), np.array(np.inf), "<i8", (2,)),
        # dtypes
        ("box", LOW, HIGH, "float32", (2,)),
        ("box", LOW, HIGH, "|O", (2,)),
        ("box", LOW, HIGH, ">f4", (2,)),
        ("box", LOW, HIGH, "<f9", (2,)),
        ("box", LOW, HIGH, "<U4", (2,)),
        ("box", LOW, HIGH, "2f4", (2,)),
        ("box", LOW, HIGH, "f4,f4", (2,)),
        ("box", LOW, HIGH, "", (2,)),
        ("box", LOW, HIGH, None, (2,)),
        ("box", LOW, HIGH, np.dtype("f4"), (2,)),
        # shapes
        ("box", LOW, HIGH, "<f4", [2]),
        ("box", LOW, HIGH, "<f4", (-2,)),
        ("box", LOW, HIGH, "<f4", (2.0,)),
        ("box", LOW, HIGH, "<f4", (True,)),
        ("box", LOW, HIGH, "<f4", (2**40,)),
        ("box", LOW, HIGH, "<f4", (2**15, 2**15)),
        ("box", LOW, HIGH, "<f4", (0, 2**63)),
        ("box", LOW, HIGH, "<f4", (1,) * 33),
        # numbers
        ("discrete", 0, 0, "<i8"),
        ("discrete", -3, 0, "<i8"),
        ("discrete", True, 0, "<i8"),
        ("discrete", 3.0, 0, "<i8"),
        ("discrete", 2**63, 0, "<i8"),
        ("discrete", 3, 2**63, "<i8"),
        pytest.param(("discrete", 300, 0, "|u1"), marks=has_dtype),
        ("discrete", 3, 0, "<f4"),
        ("discrete", np.int64(3), 0, "<i8"),
        ("multi_binary", 3),
        ("multi_binary", (3, None)),
        ("multi_binary", (2**60,)),
        ("multi_discrete", [3, 4], None, "<i8"),
        ("multi_discrete", np.array([3.0]), None, "<i8"),
        ("multi_discrete", np.array([3, 0]), None, "<i8"),
        ("multi_discrete", NVEC, np.array([1]), "<i8"),
        ("multi_discrete", NVEC, 1, "<i8"),
        ("multi_discrete", NVEC, None, "<f8"),
        ("text", 5, 2, "abc"),
        ("text", -1, 2, "abc"),
        ("text", 1, 2**40, "abc"),
        ("text", 1, 2, b"abc"),
        ("text", 1, 2, ("ab", "c")),
        # children
        ("tuple", (DISCRETE,)),
        ("tuple", [DISCRETE, None]),
        ("tuple", [DISCRETE] * 20000),
        ("one_of", [BOX[:-1]]),
        ("dict", {"a": DISCRETE}),
        ("dict", [("a", DISCRETE, 1)]),
        ("dict", [["a", DISCRETE]]),
        ("dict", [("a", DISCRETE), ("a", BOX)]),
        ("dict", [(None, DISCRETE)]),
        ("dict", [(([],), DISCRETE)]),
        ("sequence", DISCRETE, 1),
        ("sequence", None, True),
        ("graph", None, None),
        ("graph", BOX, 3),
        # names
        ("other", ""),
        ("other", None),
        ("other", b"a.B"),
        ("other", "a" * 2000),
        ("other", "a.B", "more"),
    ],
)
def test_refused(data):
    with pytest.raises(SpaceDataError, match="a worker described") as caught:
        build_space(data)
    assert isinstance(caught.value, EnvringError)
    assert len(str(caught.value)) < 2000


def test_spaces_nested_too_deep():
    data = DISCRETE
    for _ in range(32):
        data = ("tuple", [data])
    assert build_space(data)
    with pytest.raises(SpaceDataError, match="depth"):
        build_space(("tuple", [data]))


PIECES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.sampled_from(["<f4", "<i8", "|u1", "|b1", (2,), (), DISCRETE, BOX]),
    hnp.arrays(
        st.sampled_from([np.float32, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
    ),
)
NUMBERS = ("box", "discrete", "multi_binary", "multi_discrete", "text")
KINDS = st.sampled_from((*NUMBERS, "tuple", "one_of", "dict", "sequence", "graph"))
NESTED = st.recursive(
    PIECES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.builds(lambda kind, parts: (kind, *parts), KINDS, st.lists(inner, max_size=4)),
    ),
    max_leaves=12,
)


@given(st.builds(lambda kind, parts: (kind, *parts), KINDS, st.lists(NESTED, max_size=4)))
def test_whatever_is_said_is_a_space_or_a_typed_error(data):
    try:
        space = build_space(data)
    except SpaceDataError:
        return
    assert isinstance(space, spaces.Space)
    assert repr(space)


def test_graphs_come_back_as_graphs():
    net = spaces.Graph(spaces.Box(-1, 1, (2,)), spaces.Discrete(3))
    choice = spaces.OneOf([spaces.Discrete(2), net])
    space = spaces.Dict(a=net, b=spaces.Tuple([net, spaces.Sequence(net)]), c=choice)
    plain = (np.zeros((1, 2)), None, None)
    value = restore_value(
        space, {"c": (np.int64(1), plain), "b": (plain, (plain,)), "a": plain, "x": 1}
    )
    assert list(value) == ["c", "b", "a", "x"]
    for graph in (value["a"], value["b"][0], value["b"][1][0], value["c"][1]):
        assert isinstance(graph, spaces.GraphInstance) and graph.nodes is plain[0]


@pytest.mark.parametrize("value", [None, 3, (1, 2), [1, 2, 3], {"nodes": 1}])
def test_a_graph_that_is_none(value):
    with pytest.raises(SpaceDataError, match="a graph"):
        restore_value(spaces.Graph(spaces.Discrete(2), None), value)


@pytest.mark.parametrize("value", [None, (), {"a": 2}, [1], (9, 1), ("x", 1), 3.5])
def test_values_of_another_shape_stay_for_others_to_refuse(value):
    net = spaces.Graph(spaces.Discrete(2), None)
    for space in (spaces.Tuple([net]), spaces.OneOf([net, net]), spaces.Discrete(3)):
        assert restore_value(space, value) is value


def test_many_large_arrays_that_few_bytes_describe():
    box = ("box", LOW, HIGH, "<f4", (1 << 27,))
    with pytest.raises(SpaceDataError, match="together"):
        build_space(("dict", [("a", ("tuple", [box, box])), ("b", box)]))
