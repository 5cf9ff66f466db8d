# SPDX-License-Identifier: MIT
"""What crosses to other interpreters arrives as what it was, or is refused by name."""

import collections
import enum
import struct
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envring._foreign.envring_worker.data import codec as worker_codec
from envring.errors import UnsendableError
from envring.transport import codec
from support import codec_reader, plain_codec
from support.plain_codec import differences

GROUPS = dict(plain_codec.all_values())


def arrives(value):
    """Asserts that it arrives, on both ways, and as the second reader reads it."""
    data = codec.dumps(value)
    got = codec.loads(data)
    assert differences(got, value) == []
    assert differences(worker_codec.unpack(data), value) == []
    assert differences(codec_reader.read(data), value) == []
    return got


@pytest.mark.parametrize("group", GROUPS)
def test_values_arrive_exactly(group):
    for value in GROUPS[group]:
        arrives(value)


def test_values_are_not_changed_by_being_sent():
    values = plain_codec.all_values()
    codec.dumps(values)
    assert differences(values, plain_codec.all_values()) == []


def in_containers(children):
    keys = st.one_of(st.text(max_size=4), st.integers(), st.floats(), st.binary(max_size=3))
    keys |= st.tuples(st.text(max_size=2), st.integers(-2, 2))
    return (
        st.lists(children, max_size=4)
        | st.lists(children, max_size=4).map(tuple)
        | st.tuples(st.sampled_from(["\0", "\0nd", "\0tu", "\0x"]), children)
        | st.dictionaries(keys, children, max_size=4)
        | st.dictionaries(keys, children, max_size=3).map(collections.OrderedDict)
        | st.sets(keys, max_size=3)
        | st.frozensets(keys, max_size=3)
    )


SURROGATES = st.characters(categories=["Cs", "L", "Cc"])
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.floats(width=32),
    st.complex_numbers(),
    st.text(),
    st.text(SURROGATES, max_size=5),
    st.binary(),
)
DTYPES = st.one_of(
    hnp.scalar_dtypes(),
    hnp.byte_string_dtypes(min_len=1),
    hnp.unicode_string_dtypes(min_len=1),
    hnp.array_dtypes(hnp.scalar_dtypes()),
)
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
ARRAYS |= ARRAYS.map(np.asfortranarray)
SCALARS = hnp.arrays(hnp.scalar_dtypes(), 1).map(lambda array: array[0])
VALUES = st.recursive(PLAIN | ARRAYS | SCALARS, in_containers, max_leaves=12)


@given(VALUES)
def test_any_value_arrives_or_is_refused(value):
    refusal = None
    try:
        arrives(value)
    except UnsendableError as error:
        refusal = str(error)
    if refusal is not None:
        reasons = ("fields have titles", "whose size is 0", "would arrive as one")
        assert any(reason in refusal for reason in reasons)


def test_arrays_are_writable_and_own_their_memory():
    for array in GROUPS["arrays"]:
        got = codec.loads(codec.dumps([array]))[0]
        assert got.flags.writeable
        assert got.flags.owndata
        assert got.flags.aligned
        got = worker_codec.unpack(codec.dumps([array]))[0]
        assert got.flags.writeable
        assert got.flags.owndata


def test_an_array_in_several_places_arrives_as_several():
    array = np.zeros(3)
    first, second = codec.loads(codec.dumps([array, array]))
    first[0] = 1
    assert second[0] == 0


def test_keys_keep_their_order():
    value = {key: i for i, key in enumerate(["z", 3, "a", (1,), b"m", None, 2.5])}
    assert list(arrives(value)) == list(value)
    assert list(arrives(collections.OrderedDict(value))) == list(value)


def test_nan_keys_of_numpy_are_refused_where_they_would_be_one():
    value = {np.float64("nan"): 1, np.float64("nan"): 2}
    assert len(value) == 2
    with pytest.raises(UnsendableError, match="as one"):
        codec.dumps(value)
    assert len(arrives([{float("nan"): 1, plain_codec.NAN: 2}])[0]) == 2


def nested(depth, kind):
    value = kind()
    for _ in range(depth - 1):
        value = kind([value]) if kind is not dict else {1: value}
    return value


@pytest.mark.parametrize("kind", [list, tuple, dict, frozenset])
def test_a_hundred_levels_arrive_and_no_more(kind):
    arrives(nested(100, kind))
    with pytest.raises(UnsendableError, match="nested deeper than 100 levels"):
        codec.dumps(nested(101, kind))


def test_what_holds_itself_is_refused():
    value = {"a": [1]}
    value["a"].append(value)
    with pytest.raises(UnsendableError, match=r"^\['a'\]\[1\]\['a'\].*: it is nested deeper"):
        codec.dumps(value)


def test_what_would_be_written_too_often_is_refused(monkeypatch):
    monkeypatch.setattr(worker_codec, "MAX_ITEMS", 1000)
    value = []
    for _ in range(90):
        value = [value, value]
    with pytest.raises(UnsendableError, match="there are more than 1000 items"):
        codec.dumps(value)
    arrives([[[["x"]]]] * 500)


class Text(str):
    __slots__ = ()


class Color(enum.IntEnum):
    RED = 1


Point = collections.namedtuple("Point", "x y")
TITLED = np.dtype({"names": ["a"], "formats": ["f4"], "titles": ["b"]})
UNSENDABLE = [
    object(),
    Text("a"),
    Color.RED,
    Point(1, 2),
    collections.Counter(),
    collections.defaultdict(int),
    bytearray(b"x"),
    memoryview(b"x"),
    ...,
    len,
    int,
    range(3),
    iter([]),
    NotImplemented,
    StopIteration,
    (lambda: 0).__code__,
    struct.Struct("i"),
    np.array([(1, None)], [("a", "i4"), ("b", "O")]),
    np.ma.array([1]),
    np.zeros(2).view(np.recarray),
    np.dtype("f8"),
    np.zeros(0, "V70000"),
    np.zeros(2, []),
    np.zeros(2, TITLED),
    np.zeros((), [(f"f{i}", "u1") for i in range(1025)]),
    np.void(b""),
]


@pytest.mark.parametrize("value", UNSENDABLE, ids=lambda value: str(type(value)))
def test_what_would_not_arrive_is_refused_by_its_place(value):
    with pytest.raises(UnsendableError, match=r"^\['info'\]\[1\]\['here'\]: "):
        codec.dumps({"info": (0, {"a": 1, "here": value, "z": 2})})
    with pytest.raises(UnsendableError, match=r"^it: "):
        codec.dumps(value)


def test_what_would_not_arrive_is_refused_as_a_key():
    with pytest.raises(
        UnsendableError, match=r"^\['a'\]: its key or item <object .* cannot be sent"
    ):
        codec.dumps({"a": {object(): 1}})
    with pytest.raises(UnsendableError, match=r"^\[0\]: its key or item \(1, Ellipsis\): "):
        codec.dumps([{(1, ...)}])


def test_refusal_says_what_to_send_instead():
    with pytest.raises(UnsendableError, match="send numbers, text, bytes, lists"):
        codec.dumps(object())
    with pytest.raises(worker_codec.Unsendable) as caught:
        worker_codec.pack({"a": [{"b": {2.5: len}}]})
    assert caught.value.path == "['a'][0]['b'][2.5]"
    assert isinstance(caught.value, TypeError)


def test_a_long_place_is_shown_shortened():
    value = object()
    for i in range(40):
        value = {f"key {i}": value} if i % 10 else {"k" * 1000: value}
    with pytest.raises(UnsendableError) as caught:
        codec.dumps(value)
    assert len(str(caught.value)) < 1200
    assert "[...]" in str(caught.value)


def test_more_than_two_gigabytes_are_refused():
    array = np.broadcast_to(np.uint8(0), (2**20,) * 3)
    with pytest.raises(UnsendableError, match=r"^\['a'\]: an array of more than 2 GiB"):
        codec.dumps({"a": array})


def documented():
    """The examples of docs/codec.md: expression, bytes."""
    lines = (Path(__file__).parents[2] / "docs/codec.md").read_text(encoding="utf-8").splitlines()
    rows = lines[lines.index("## Examples") + 4 :]
    cells = [row.split("|")[1:3] for row in rows[: rows.index("")]]
    return [(value.strip(" `"), bytes.fromhex(data.strip(" `"))) for value, data in cells]


@pytest.mark.parametrize(("expression", "data"), documented())
def test_the_documented_bytes_are_those_that_are_sent(expression, data):
    names = {"np": np, "OrderedDict": collections.OrderedDict}
    value = eval(expression, names)
    assert codec.dumps(value).hex(" ") == data.hex(" ")
    assert differences(codec.loads(data), value) == []


@pytest.mark.parametrize("array", [np.array(0.0), np.array(["box", "x", "y"]), np.zeros(2)])
def test_arrays_match_no_pattern_of_sequences(array):
    match codec.matchable(array):
        case (*parts,):
            pytest.fail(f"it matches: {parts}")
    match codec.matchable(["box", array]):
        case (str() as kind, np.ndarray() as found):
            assert (kind, id(found)) == ("box", id(array))
        case _:
            pytest.fail("a list does not match")
