# SPDX-License-Identifier: MIT
"""Checks of spaces as data, and of what else is told of envs."""

import sys

import numpy as np
from envring_worker.data import codec
from envring_worker.envs.adapt import adapt
from envring_worker.envs.describe import describe
from envring_worker.envs.spaces import SpaceError, describe_space, kind_of, value_to_data
from envring_worker.errors import SourceError
from plain_checks import main, raises
from plain_spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Space,
    Text,
    Tuple,
)

INT8 = np.iinfo(np.int8)


def same(data, expected):
    """Whether space data is equal, types of numbers and dtypes of arrays included."""
    if isinstance(expected, np.ndarray):
        return (
            type(data) is np.ndarray
            and data.dtype == expected.dtype
            and data.shape == expected.shape
            and data.tobytes() == expected.tobytes()
        )
    if isinstance(expected, (tuple, list)):
        return (
            type(data) is type(expected)
            and len(data) == len(expected)
            and all(same(a, b) for a, b in zip(data, expected))
        )
    return type(data) is type(expected) and data == expected


def expect(space, *expected):
    data = describe_space(space)
    assert same(data, expected), (data, expected)
    assert codec.pack(data)


def f4(*values):
    return np.array(values if len(values) != 1 else values[0], np.float32)


# -- Box -----------------------------------------------------------------------------------------


def check_boxes():
    low, high = np.array(0, np.uint8), np.array(255, np.uint8)
    expect(Box(0, 255, (4, 3), np.uint8), "box", low, high, "|u1", (4, 3))
    expect(Box(f4(-1, -2), f4(1, 2)), "box", f4(-1, -2), f4(1, 2), "<f4", (2,))
    expect(Box(-np.inf, np.inf, (3,)), "box", f4(-np.inf), f4(np.inf), "<f4", (3,))
    expect(Box(-1, 1, ()), "box", f4(-1), f4(1), "<f4", ())
    expect(Box(-1, 1, (0, 2)), "box", f4(*[]).reshape(0, 2), f4(*[]).reshape(0, 2), "<f4", (0, 2))
    expect(Box(f4(0.0, -0.0), f4(1, 1)), "box", f4(0.0, -0.0), f4(1), "<f4", (2,))
    expect(Box(0, 1, (2,), np.bool_), "box", np.array(False), np.array(True), "|b1", (2,))


def check_box_whose_bounds_are_of_another_dtype():
    space = Box(np.array([0.0, 1.5]), np.array([1.0, 2.5]))
    expect(space, "box", f4(0, 1.5), f4(1, 2.5), "<f4", (2,))
    space = Box(-1.0, 1.0, (2,))
    space.low, space.high = -1, 1  # numbers, as stand-ins have them
    expect(space, "box", f4(-1), f4(1), "<f4", (2,))
    space = Box(np.array([0.0, -np.inf]), np.array([9.0, np.inf]), dtype=np.int8)
    low, high = np.array([0, INT8.min], np.int8), np.array([9, INT8.max], np.int8)
    expect(space, "box", low, high, "|i1", (2,))
    space = Box(np.array([-5.0, 0.0]), np.array([999.0, 2.0]), dtype=np.uint8)
    low, high = np.array(0, np.uint8), np.array([255, 2], np.uint8)
    expect(space, "box", low, high, "|u1", (2,))
    top = 2**63 - 1
    space = Box(np.array([0, 1]), np.array([top, top]), dtype=np.int64)
    expect(space, "box", np.array([0, 1], np.int64), np.array(top, np.int64), "<i8", (2,))


def check_integers_without_bounds():
    space = Box(-np.inf, np.inf, (2,))
    space.dtype = np.dtype(np.int16)
    expect(space, "box", np.array(-np.inf), np.array(np.inf), "<i2", (2,))
    space = Box(INT8.min, 5, (2,), np.int8)
    space.bounded_below, space.bounded_above = np.zeros(2, bool), np.ones(2, bool)
    expect(space, "box", np.array(-np.inf), np.array(5, np.int8), "|i1", (2,))
    space.bounded_below[0] = True
    expect(space, "box", np.array(INT8.min, np.int8), np.array(5, np.int8), "|i1", (2,))


def check_boxes_of_gym_before_dtypes():
    space = Box(np.array([-1.0, -2.0]), np.array([1.0, 2.0]), dtype=None)
    expect(space, "box", np.array([-1.0, -2.0]), np.array([1.0, 2.0]), "<f8", (2,))
    space = Box(np.array([0, 0]), np.array([9, 5]), dtype=None)
    expect(space, "box", np.array(0.0), np.array([9.0, 5.0]), "<f8", (2,))
    space = Box(np.zeros((2, 2)), np.full((2, 2), 255.0), dtype=None)
    expect(space, "box", np.array(0, np.uint8), np.array(255, np.uint8), "|u1", (2, 2))
    space = Box(np.full(2, -9.0), np.full(2, 255.0), dtype=None)
    assert describe_space(space)[3] == "<f8"


def check_dtypes_in_every_spelling():
    for dtype in ("float64", np.float64, float, np.dtype(">f8")):
        space = Box(f4(-1), f4(1))
        space.dtype = dtype
        assert describe_space(space)[3] == "<f8", dtype
    for dtype in (object, "U3", complex):
        space.dtype = dtype
        assert "dtype" in str(raises(SpaceError, describe_space, space))


# -- the others ----------------------------------------------------------------------------------


def check_discrete():
    expect(Discrete(4), "discrete", 4, 0, "<i8")
    expect(Discrete(np.int64(4), np.int64(-2)), "discrete", 4, -2, "<i8")
    space = Discrete(4.0)
    space.dtype = np.int16
    expect(space, "discrete", 4, 0, "<i2")
    space.n = 4.5
    assert "4.5 is not an integer" in str(raises(SpaceError, describe_space, space))


def check_multi_binary():
    expect(MultiBinary(3), "multi_binary", (3,))
    expect(MultiBinary(np.int64(3)), "multi_binary", (3,))
    expect(MultiBinary([2, 3]), "multi_binary", (2, 3))
    expect(MultiBinary(np.array([2, 3])), "multi_binary", (2, 3))


def check_multi_discrete():
    vector = np.array([3, 4], np.int64)
    expect(MultiDiscrete([3, 4]), "multi_discrete", vector, None, "<i8")
    small = MultiDiscrete(np.array([3, 4], np.int32), np.int8)
    expect(small, "multi_discrete", vector, None, "|i1")
    expect(MultiDiscrete([[3, 4]], start=[[0, 0]]), "multi_discrete", vector[None], None, "<i8")
    start = np.array([0, -2], np.int64)
    expect(MultiDiscrete([3, 4], start=start), "multi_discrete", vector, start, "<i8")
    # gym 0.10 says int8 whatever there is to count
    assert describe_space(MultiDiscrete([3, 128], np.int8))[3] == "<i8"
    space = MultiDiscrete([3])  # gym 0.9: from low to high, both included; shape is a number
    del space.nvec, space.dtype
    space.low, space.high, space.shape = np.array([0, -2]), np.array([2, 1]), 2
    expect(space, "multi_discrete", vector, start, "<i8")


def check_text():
    expect(Text(5, 2, u"cab"), "text", 2, 5, u"abc")
    space = Text(5, charset=u"ab\xe9")
    expect(space, "text", 1, 5, u"ab\xe9")
    space.character_list = (u"b", u"a")
    expect(space, "text", 1, 5, u"ba")


def check_nested():
    space = Dict([("z", Discrete(2)), ("a", Tuple([Discrete(3), OneOf([MultiBinary(1)])]))])
    inner = ("tuple", [("discrete", 3, 0, "<i8"), ("one_of", [("multi_binary", (1,))])])
    expect(space, "dict", [("z", ("discrete", 2, 0, "<i8")), ("a", inner)])
    expect(Sequence(MultiBinary(2), True), "sequence", ("multi_binary", (2,)), True)
    expect(Graph(MultiBinary(2), None), "graph", ("multi_binary", (2,)), None)
    two = ("discrete", 2, 0, "<i8")
    expect(Graph(Discrete(2), MultiBinary(1)), "graph", two, ("multi_binary", (1,)))
    expect(Tuple((Discrete(2),)), "tuple", [two])


def check_kinds_by_the_names_of_bases():
    class Keys(Dict):
        pass

    class Tuples(Space):
        spaces = ()

    abstract = type("Sequence", (object,), {"__module__": "collections.abc"})
    assert kind_of(Keys([])) == "dict"
    assert kind_of(Tuples()) is kind_of(3) is None
    assert kind_of(type("Mine", (abstract, Space), {})()) is None


def check_a_space_of_the_envs_own():
    class Mission(Space):
        def sample(self):
            return "go"

        def contains(self, value):
            return value == "go"

    own = ("other", "%s.Mission" % __name__)
    assert describe_space(Mission()) == own
    space = Dict([("mission", Mission()), ("n", Discrete(2))])
    assert describe_space(space)[1][0] == ("mission", own)
    assert value_to_data(space, {"mission": "go", "n": 1}) == {"mission": "go", "n": 1}


def check_what_cannot_be_described_is_named():
    class Custom(Space):
        pass

    for space, path in (
        (Custom(), ""),
        (Dict([("a", Tuple([Discrete(2), Custom()]))]), "['a'][1]"),
        (Sequence(Custom()), "['...']"),
        (Graph(Discrete(2), Custom()), "['edges']"),
    ):
        error = raises(SpaceError, describe_space, space)
        assert error.path == path, error.path
        assert str(error).startswith("space%s: a " % path), error
        assert "Custom is not a space" in str(error), error
    assert "it is None" in str(raises(SpaceError, describe_space, None))
    space = Discrete(3)
    del space.n
    error = raises(SpaceError, describe_space, Tuple([space]))
    assert error.path == "[0]" and "AttributeError" in str(error), error
    assert "key" in str(raises(SpaceError, describe_space, Dict([(None, Discrete(2))])))


def check_a_space_that_holds_itself():
    space = Tuple([])
    space.spaces = [space]
    assert "deeper" in str(raises(SpaceError, describe_space, space))


# -- values --------------------------------------------------------------------------------------


def check_values_become_data():
    class LazyFrames(object):
        def __array__(self, dtype=None, copy=None):
            return np.ones(2, np.float32)

    class GraphInstance(tuple):
        pass

    graph = GraphInstance((np.zeros((1, 2)), None, None))
    box, net = Box(-1, 1, (2,)), Graph(MultiBinary(2), None)
    assert type(value_to_data(box, LazyFrames())) is np.ndarray
    assert type(value_to_data(net, graph)) is tuple
    for value in (np.ones(2), [1.0, 2.0], 1.0, np.float32(1)):
        assert value_to_data(box, value) is value
    space = Dict([("a", box), ("b", Tuple([net, Sequence(net)])), ("c", OneOf([box, net]))])
    data = value_to_data(
        space, {"a": LazyFrames(), "b": (graph, (graph, graph)), "c": (1, graph), "d": 5}
    )
    assert type(data["a"]) is np.ndarray and type(data["b"][0]) is tuple and data["d"] == 5
    assert [type(item) for item in data["b"][1]] == [tuple, tuple]
    assert type(data["c"][1]) is tuple
    codec.pack(data)
    stacked = np.ones((3, 2))
    assert value_to_data(Sequence(box, True), stacked) is stacked


# -- description ---------------------------------------------------------------------------------


class Env(object):
    observation_space = Box(-1, 1, (2,))
    action_space = Discrete(2)
    metadata = {"render_modes": ["ansi"], "class": object, "deep": {"a": [1, 2]}}

    def reset(self):
        return np.zeros(2)

    def step(self, action):
        return np.zeros(2), 0.0, False, {}


def check_a_description_can_be_sent():
    class Spec(object):
        id = "Game-v3"
        max_episode_steps = 200
        entry_point = object()  # a function, say
        _kwargs = {"level": 3, "callback": object()}

    envs = [adapt(Env()) for _ in range(3)]
    envs[0].env.spec = Spec()
    envs[1].env.observation_space = Box(-2, 1, (2,))
    envs[2].env.observation_space = Box(-1, 1, (2,))
    found = describe(envs)
    assert codec.pack(found)
    kinds, which = found["observation_spaces"]
    assert [kind[0] for kind in kinds] == ["box"] * 2 and which == [0, 1, 0]
    assert found["action_spaces"] == ([("discrete", 2, 0, "<i8")], [0, 0, 0])
    assert found["metadata"] == {"render_modes": ["ansi"], "deep": {"a": [1, 2]}}
    assert found["render_mode"] is None and found["gym"] is None
    assert found["numpy"] == np.__version__
    spec = found["spec"]
    assert spec["id"] == "Game-v3" and spec["max_episode_steps"] == 200, spec
    assert spec["entry_point"] is None and spec["kwargs"] == {"level": 3}
    assert spec["reward_threshold"] is None and spec["nondeterministic"] is False
    assert describe([adapt(Env())])["spec"] is None


def check_a_description_names_the_library():
    module = type(sys)("gym")
    module.__version__ = "0.9.1"
    sys.modules["gym"] = module
    base = type("Env", (Env,), {"__module__": "gym.core"})
    try:
        assert describe([adapt(type("Mine", (base,), {})())])["gym"] == "gym 0.9.1"
    finally:
        del sys.modules["gym"]


def check_a_space_that_fails_names_its_env():
    envs = [adapt(Env()) for _ in range(3)]
    envs[2].env.action_space = Dict([("a", None)])
    error = raises(SourceError, describe, envs)
    assert error.kind == "space" and error.env == 2
    assert str(error).startswith("action space['a']: the env does not define it"), error


if __name__ == "__main__":
    main(globals())
