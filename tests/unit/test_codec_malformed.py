# SPDX-License-Identifier: MIT
"""Bytes of a worker that are no value are an error, whatever they announce."""

import struct
import tracemalloc

import numpy as np
import pytest

from envring.errors import CodecError, EnvringError
from envring.transport import codec
from support import codec_reader
from support.plain_codec import differences


def i4(number):
    return struct.pack("<i", number)


def text(content):
    return b"u" + i4(len(content)) + content


def string(content):
    return b"s" + i4(len(content)) + content


def tuple_of(*items):
    return b"(" + i4(len(items)) + b"".join(items)


def number(value):
    return b"i" + i4(value)


FLOAT, EIGHT_BYTES, NO_DIMENSIONS = text(b"<f8"), string(b"x" * 8), tuple_of()


def array(dtype=FLOAT, shape=NO_DIMENSIONS, content=EIGHT_BYTES):
    return tuple_of(text(b"\0nd"), dtype, shape, content)


def scalar(dtype, content):
    return tuple_of(text(b"\0ns"), dtype, content)


def fields(*described, itemsize=16):
    return tuple_of(text(b"V"), number(itemsize), tuple_of(*described))


def field(name=b"a", offset=0, dtype=FLOAT):
    return tuple_of(text(name), number(offset), dtype)


def structured(*described, itemsize=16):
    return array(fields(*described, itemsize=itemsize), content=string(b"x" * itemsize))


def test_what_these_functions_write_is_read():
    assert codec.loads(array())[()] == np.frombuffer(b"x" * 8)[0]
    assert codec.loads(array(shape=tuple_of(number(2), number(0)), content=string(b""))).size == 0
    assert codec.loads(scalar(text(b"<f8"), string(b"x" * 8))) == np.frombuffer(b"x" * 8)[0]
    got = codec.loads(structured(field(), field(b"b", 8, text(b"<i8"))))
    assert got.dtype == [("a", "<f8"), ("b", "<i8")]
    assert codec.loads(b"I" + struct.pack("<q", -(2**40))) == -(2**40)
    assert codec.loads(b"l" + i4(0)) == 0
    objects = codec.loads(tuple_of(text(b"\0no"), tuple_of(number(1), number(2)), b"N", array()))
    assert objects.shape == (1, 2)
    assert objects[0, 0] is None
    assert objects[0, 1].dtype == "<f8"


def deep_dtype(levels):
    dtype = text(b"<f8")
    for _ in range(levels):
        dtype = fields(field(dtype=dtype), itemsize=8)
    return array(dtype)


MALFORMED = {
    "nothing": b"",
    "more than a value": b"NN",
    "an unknown type": b"x",
    "a code object": b"c" + bytes(60),
    "a reference": b"(" + i4(2) + b"\xdb" + i4(0) + b"r" + i4(0),
    "an ellipsis": b".",
    "NULL": b"0",
    "a flagged type": bytes([ord("N") | 0x80]),
    "a marshal set": b"<" + i4(0),
    "an interned string": b"t" + i4(1) + b"a",
    "a reference to one": b"R" + i4(0),
    "an old float": b"f\x031.5",
    "half an int": b"i\1\2\3",
    "half a float": b"g1234567",
    "half a complex": b"y" + bytes(15),
    "half a text": b"u" + i4(3) + b"ab",
    "a text of less than nothing": b"u" + i4(-1),
    "a text that is no UTF-8": text(b"\xff"),
    "a text of overlong UTF-8": text(b"\xc0\x80"),
    "a long that ends too soon": b"l" + i4(2) + b"\1\0",
    "a long with a leading zero": b"l" + i4(2) + b"\1\0\0\0",
    "a long with a digit too large": b"l" + i4(1) + b"\0\x80",
    "a long of all the bytes there are not": b"l" + i4(-(2**31)),
    "a list that ends too soon": b"[" + i4(2) + b"N",
    "a list of less than nothing": b"[" + i4(-1),
    "a dict without an end": b"{NN",
    "a dict without a value": b"{N0",
    "a dict with a list as key": b"{" + b"[" + i4(0) + b"N" + b"0",
    "a dict with an array as key": b"{" + array() + b"N" + b"0",
    "a dict with a key twice": b"{NTNT0",
    "a dict with equal keys": b"{T" + b"N" + number(1) + b"N0",
    "a set with a list": tuple_of(text(b"\0se"), b"[" + i4(0)),
    "a set with an item twice": tuple_of(text(b"\0fs"), b"N", b"N"),
    "an ordered dict without a value": tuple_of(text(b"\0od"), b"N"),
    "an ordered dict with a key twice": tuple_of(text(b"\0od"), b"N", b"T", b"N", b"T"),
    "an unknown tag": tuple_of(text(b"\0xx"), b"N"),
    "a list in a list for ever": b"[\1\0\0\0" * 5000,
    "a tag in a tag for ever": (b"(\2\0\0\0" + text(b"\0tu")) * 5000,
    "a dict in a dict for ever": b"{N" * 5000,
    "a dtype in a dtype for ever": (b"(\4\0\0\0" + text(b"\0nd")) * 5000,
    "fields in fields for ever": b"(\4\0\0\0" + text(b"\0nd") + b"(\1\0\0\0" * 5000,
    "an array of too few items": tuple_of(text(b"\0nd"), text(b"<f8"), tuple_of()),
    "an array of too many items": tuple_of(text(b"\0nd"), text(b"<f8"), tuple_of(), b"N", b"N"),
    "an array without bytes": array(content=text(b"12345678")),
    "an array of too many bytes": array(content=string(b"x" * 9)),
    "an array of too few bytes": array(content=string(b"x" * 7)),
    "an array of many dimensions": array(shape=tuple_of(*[number(1)] * 65)),
    "an array of no shape": array(shape=number(1)),
    "an array of a list as shape": array(shape=b"[" + i4(1) + number(1)),
    "an array of negative size": array(shape=tuple_of(number(-1), number(-1))),
    "an array of a shape that is no number": array(shape=tuple_of(b"T")),
    "an array of a size beyond all": array(
        shape=tuple_of(*[b"I" + struct.pack("<q", 2**62)] * 4), content=string(b"")
    ),
    "an array of a size that wraps to 8 bytes": array(
        shape=tuple_of(b"I" + struct.pack("<q", 2**61 + 1)), content=string(b"x" * 8)
    ),
    "an array of a long beyond 64 bits": array(shape=tuple_of(b"l" + i4(6) + b"\1\0" * 6)),
    "no elements of a size beyond all": array(
        text(b"|V2000000000"), tuple_of(number(0)), string(b"")
    ),
    "objects without a shape": tuple_of(text(b"\0no")),
    "objects of a number as shape": tuple_of(text(b"\0no"), number(1), b"N"),
    "too few objects": tuple_of(text(b"\0no"), tuple_of(number(2)), b"N"),
    "too many objects": tuple_of(text(b"\0no"), tuple_of(number(0)), b"N"),
    "objects of a size that wraps to 1": tuple_of(
        text(b"\0no"), tuple_of(*[b"I" + struct.pack("<q", 2**32 + 1)] * 2), b"N"
    ),
    "objects in objects for ever": (b"(\3\0\0\0" + text(b"\0no") + tuple_of(number(1))) * 5000,
    "a dict with objects as key": b"{" + tuple_of(text(b"\0no"), tuple_of(), b"N") + b"N" + b"0",
    "a character that there is not": array(text(b"<U2"), content=string(b"\0\0\0\0\0\0\x11\0")),
    "one in the other byte order": array(text(b">U1"), content=string(b"\0\x11\0\0")),
    "one in a field": structured(field(dtype=text(b"<U1")), itemsize=4),
    "one in a scalar": scalar(fields(field(dtype=text(b"<U1")), itemsize=4), string(b"\xff" * 4)),
    "a scalar of too many bytes": scalar(text(b"<f8"), string(b"x" * 9)),
    "a text scalar of bytes": scalar(text(b"U"), string(b"x")),
    "a bytes scalar of text": scalar(text(b"S"), text(b"x")),
    "a scalar that ends too soon": scalar(text(b"U"), b""),
    "a scalar of another letter": scalar(text(b"V"), string(b"x")),
    "fields in a list": array(b"[" + fields(field())[1:]),
    "a dtype that is an array": array(array()),
    "a dtype that is a set": array(tuple_of(text(b"\0se"), b"N")),
    "a dtype that is a number": array(number(1)),
    "a dtype that is an empty tuple": array(tuple_of()),
    "fields of another letter": array(tuple_of(text(b"W"), number(8), tuple_of(field()))),
    "fields beyond the element": structured(field(offset=9)),
    "fields whose end wraps": structured(field(offset=2**31 - 1)),
    "fields of fields whose end wraps": structured(
        field(offset=2**31 - 1, dtype=fields(field(dtype=text(b"|b1")), itemsize=3))
    ),
    "a subarray that ends beyond the element": structured(
        field(dtype=tuple_of(text(b"A"), text(b"<f4"), tuple_of(number(5)))),
    ),
    "a subarray of a long": structured(
        field(dtype=tuple_of(text(b"A"), text(b"<f4"), tuple_of(b"l" + i4(9) + b"\1\0" * 9))),
    ),
    "an element of a long": array(
        fields(itemsize=0).replace(number(0), b"l" + i4(3) + b"\1\0" * 3)
    ),
    "fields before the element": structured(field(offset=-1)),
    "fields of no name": structured(tuple_of(number(1), number(0), text(b"<f8"))),
    "fields of one name": structured(field(), field(offset=8)),
    "a field of objects": structured(field(dtype=text(b"|O"))),
    "a field of no type": structured(field(dtype=b"N")),
    "a field of an empty tuple": structured(field(dtype=tuple_of())),
    "a field of an empty text": structured(field(dtype=text(b""))),
    "a field of two parts": structured(tuple_of(text(b"a"), number(0))),
    "a field that is a text": structured(text(b"abc")),
    "an element of no size": array(fields(itemsize=0), content=string(b"")),
    "an element of a truth": array(tuple_of(text(b"V"), b"T", tuple_of())),
    "a subarray as dtype": array(tuple_of(text(b"A"), text(b"<f4"), tuple_of(number(2)))),
    "a subarray of no shape": structured(
        field(dtype=tuple_of(text(b"A"), text(b"<f4"), number(2))),
    ),
    "a subarray of a size beyond all": structured(
        field(dtype=tuple_of(text(b"A"), text(b"<f4"), tuple_of(*[number(2**30)] * 3))),
    ),
    "a subarray of less than nothing": structured(
        field(dtype=tuple_of(text(b"A"), text(b"<f4"), tuple_of(number(-1)))),
    ),
    "fields of too many levels": deep_dtype(9),
    "too many fields": structured(*[field(b"%d" % i, 0) for i in range(1025)]),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed(data):
    with pytest.raises(CodecError, match="a worker sent bytes that are not a value: ") as caught:
        codec.loads(data)
    assert isinstance(caught.value, EnvringError)
    with pytest.raises(codec_reader.Malformed):
        codec_reader.read(data)


def test_as_many_levels_of_fields_are_read_as_are_sent():
    dtype = np.dtype("<f8")
    for _ in range(8):
        dtype = np.dtype([("a", dtype)])
    value = np.zeros((), dtype)
    assert differences(codec.loads(codec.dumps(value)), value) == []
    assert differences(codec.loads(deep_dtype(8))["a"].dtype, dtype["a"]) == []


DTYPES = """O |O f8,f8 <f8,<f8 (3,)<f8 <M8[ns/7] <M8[7] <M8[ns]ns <M8[] <M8[0s] <m8[00ns]
<m8[1234567890s] <i3 <f7 <V S U V f8 float64 object datetime64 =f8 1f8 <f8\0
<U999999999999 |S9999999999 {'a':1} <c3 |b2 <b9 a5 <a5 |S0 <U0 |V0
<T16 <O8 |i4f8 <f8[ns] <M4[s] p P g"""


@pytest.mark.parametrize("name", [*DTYPES.split(), "", " <f8", "<f8 ", "<f8\n", "<f\u0668"])
def test_what_numpy_would_understand_and_no_worker_sends_is_no_dtype(name):
    for data in (array(text(name.encode())), array(text(name.encode()), tuple_of(number(0)))):
        with pytest.raises(CodecError):
            codec.loads(data)


def test_a_dtype_of_a_million_characters_is_not_read():
    with pytest.raises(CodecError) as caught:
        codec.loads(array(text(b"f8," * 1_000_000)))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("kind", ["?", [("a", "?"), ("b", [("c", "?", (3,))])]])
def test_what_is_neither_true_nor_false_becomes_true(kind):
    data = codec.dumps(np.zeros(2, kind))
    width = np.dtype(kind).itemsize
    got = codec.loads(data[: -2 * width] + b"\x02\0\xff\1"[:width] + bytes(width))
    flags = np.frombuffer(got.tobytes(), np.uint8).tolist()
    assert flags == [int(byte != 0) for byte in b"\x02\0\xff\1"[:width] + bytes(width)]


# -- how much memory -------------------------------------------------------------------------------


def peak(data):
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            codec.loads(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


SIZE = 1_000_000
BOMBS = {
    "lists that announce more than there is": b"".join(
        b"[" + i4(SIZE - 5 * (i + 1)) for i in range(100)
    ),
    "tuples that do": b"".join(b"(" + i4(SIZE - 5 * (i + 1)) for i in range(100)),
    "one long list": b"[" + i4(SIZE - 5),
    "a text of two gigabytes": text(b"")[:1] + i4(2**31 - 1),
    "a long of two gigabytes": b"l" + i4(2**31 - 1),
    "an array of two gigabytes": array(shape=tuple_of(number(2**28)), content=string(b"")),
    "a shape of two gigabytes": array(shape=b"(" + i4(2**31 - 1)),
    "a field of two gigabytes": structured(
        field(dtype=tuple_of(text(b"A"), text(b"<f4"), tuple_of(number(2**29)))),
    ),
    "no elements of two gigabytes": array(
        fields(itemsize=2**31 - 1), tuple_of(number(0)), string(b"")
    ),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_no_memory_is_taken_for_what_is_not_there(data):
    data = data.ljust(SIZE, b"\xff")
    assert peak(data) < 12 * SIZE


EMPTY = {
    "dicts": b"{0",
    "lists": b"[" + i4(0),
    "sets": tuple_of(text(b"\0se")),
    "frozensets": tuple_of(text(b"\0fs")),
    "ordered dicts": tuple_of(text(b"\0od")),
    "arrays": array(text(b"|b1"), tuple_of(number(0)), string(b"")),
    "truths": b"T",
    "texts": text(b""),
    "structured": array(fields(field(), itemsize=8), tuple_of(number(0)), string(b"")),
}


@pytest.mark.parametrize("item", EMPTY.values(), ids=EMPTY)
def test_a_value_takes_at_most_some_forty_times_its_bytes(item):
    count = 200_000 // len(item)
    data = b"[" + i4(count) + item * count
    tracemalloc.start()
    try:
        assert len(codec.loads(data)) == count
        assert tracemalloc.get_traced_memory()[1] < 42 * len(data)
    finally:
        tracemalloc.stop()


# -- Python 2 --------------------------------------------------------------------------------------


def interned(content):
    return b"t" + i4(len(content)) + content


def again(index):
    return b"R" + i4(index)


def test_strings_of_python_2_are_text_where_they_are_utf_8():
    data = tuple_of(
        string(b"abc"),
        string(b"\xc3\xa9"),
        string(b"\xff"),
        interned(b"d"),
        text(b"e"),
        interned(b"\xfe"),
        again(1),
        again(0),
    )
    assert codec.loads(data, python2=True) == (
        *("abc", "\xe9", b"\xff", "d", "e", b"\xfe", b"\xfe", "d"),
    )


def test_arrays_of_python_2_keep_their_bytes():
    one = array(text(b"|S1"), content=interned(b"a"))
    data = tuple_of(one, array(text(b"|u1"), content=again(0)), again(0), array())
    got = codec.loads(data, python2=True)
    assert differences(got[:3], (np.array(b"a"), np.array(97, np.uint8), "a")) == []
    assert got[3].dtype == np.float64
    scalars = tuple_of(scalar(text(b"S"), interned(b"xy")), again(0), scalar(text(b"S"), again(0)))
    assert (
        differences(codec.loads(scalars, python2=True), (np.bytes_(b"xy"), "xy", np.bytes_(b"xy")))
        == []
    )


def test_one_long_string_does_not_become_many_arrays():
    long = b"x" * 17
    data = tuple_of(interned(long), array(text(b"|S17"), content=again(0)))
    with pytest.raises(CodecError, match="the bytes of an array are those of something else"):
        codec.loads(data, python2=True)


def test_strings_that_there_are_not():
    for data in (again(0), tuple_of(interned(b"a"), again(1)), again(-1), interned(b"a")[:-1]):
        with pytest.raises(CodecError):
            codec.loads(data, python2=True)


def test_keys_of_python_2_that_become_one_are_refused():
    with pytest.raises(CodecError, match="a key twice"):
        codec.loads(b"{" + text(b"a") + b"N" + string(b"a") + b"N0", python2=True)
