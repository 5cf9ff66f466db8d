# SPDX-License-Identifier: MIT
"""Values that are hard to send, compared exactly; under every interpreter.

``python plain_codec.py FOREIGN pack FILE`` packs them as a worker does, ``... unpack FILE`` reads
what a caller packed and prints what differs from them. FOREIGN is the worker package's folder.
"""

from __future__ import absolute_import, division, print_function

import struct
import sys
import warnings
from collections import OrderedDict

import numpy as np

PY2 = sys.version_info[0] == 2
TEXT = type(u"")
LONG = type(1 << 80)
ORDERED = sys.version_info >= (3, 6)  # dicts keep their order


def odd_nan(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


NAN = odd_nan(0x7FF8000000000000)  # that of float("nan") has the other sign in Python 2


def nested(depth):
    value = []
    for i in range(depth - 1):
        value = [value] if i % 3 == 0 else (value,) if i % 3 == 1 else {"k": value}
    return value


def integers():
    edges = [0, 1, 255, 2**15, 2**30, 2**31, 2**32, 2**45, 2**60, 2**63, 2**64, 2**75, 10**300]
    return [sign * (edge + i) for edge in edges for i in (-1, 0, 1) for sign in (1, -1)]


def floats():
    return [
        0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, float("inf"), -float("inf"), NAN,
        odd_nan(0xFFF8000000000000), odd_nan(0x7FF8000000000123),
        complex(0.0, -0.0), complex(-0.0, NAN), complex(1.5, -2.5),
    ]  # fmt: skip


def texts():
    return [
        u"", u"a", u"abc", u"\0", u"\0nd", u"\0nd and more", u"\xe9", u"\u20ac uro", u"\U0001f600",
        u"\ud800", u"\udfff\ud800", u"x" * 1000,
        b"", b"a", b"abc", b"\0nd", b"\xff\xfe", b"\xc3", b"\xc3\xa9",
        bytes(bytearray(range(256))), b"x" * 1000,
    ]  # fmt: skip


def containers():
    return [
        [], (), {}, [[]], [()], ({},), [1, [2, (3, {u"four": [5]})]], [None, True, False],
        (u"\0nd",), (u"\0nd", u"<f8", (), b"12345678"), (u"\0tu", 1), (u"\0", u"\0"), (u"", u"\0"),
        (b"\0nd", 1), [u"\0nd", 1], ((u"\0se", 1), (u"\0se", 1)),
        {u"b": 1, u"a": 2, u"c": {u"z": 1.5, u"y": [1, (2,)]}},
        {1: 2, 2.5: u"x", None: [], u"k": {}, (1, (u"a", 2.0)): 3, b"\xff": 4, -5: 6},
        {(u"\0nd", 1): 2, frozenset([1, 2]): 3},
        {np.float64(2.5): 1, np.int8(3): 2, (np.bool_(True), u"x"): np.float32(0.1)},
        OrderedDict(), OrderedDict([(u"z", 1), (u"a", OrderedDict([(2, [3])])), ((1,), None)]),
        set(), {1, 2.5, u"x", (1, 2), None}, frozenset(),
        frozenset([frozenset([1]), (u"\0",)]), nested(97), [u"same"] * 50,
    ]  # fmt: skip


def arrays():
    grid = np.arange(24).reshape(2, 3, 4)
    padded = np.zeros(
        3,
        {"names": ["a", "b"], "formats": ["<f4", [("x", ">i2"), ("y", "?")]],
         "offsets": [4, 10], "itemsize": 16},
    )  # fmt: skip
    padded["a"], padded["b"]["x"] = [1.5, -0.0, 2], [1, 2, 3]
    boxes = np.zeros((2, 2), [("box", "<f8", (2, 3)), ("name", "<U3"), ("raw", "S2"), ("v", "V2")])
    boxes["box"][1], boxes["name"][0, 0] = 7, u"\xe9z"
    made = [grid.astype(code) for code in "?bhilBHILefdFD"]
    made += [np.array([1.5, NAN, -0.0], code) for code in (">f8", ">f4", ">f2", ">c16")]
    made += [np.array([1, 2, 300], code) for code in (">i2", ">i4", ">i8", ">u8")]
    made += [
        np.array(1.5), np.array(True), np.array(b"x"), np.array(u"\u20ac"), np.array(7, ">i4"),
        np.zeros((0,)), np.zeros((3, 0, 2), np.int8), np.zeros((0, 5), "U7"), np.zeros((1,) * 20),
        np.asfortranarray(grid), np.asfortranarray(grid.astype(">f4")), grid.T, grid[::-1, 1:, ::2],
        np.array([odd_nan(0x7FF8000000000123), -0.0]), np.array([b"ab", b"", b"\xff\0c"]),
        np.array([u"ab", u"", u"\U0001f600\u20ac"]), np.array([u"ab\xe9"]).astype(">U4"),
        np.array(["2020-02-29", "NaT"], "M8[D]"), np.array([1, -5], "m8[ns]"),
        np.array([3], "m8[25s]"), np.zeros(2, "m8"),
        np.ndarray((2,), ">m8", b"\0" * 7 + b"\1" * 9), np.ndarray((1,), ">M8", b"\1" * 8),
        np.array(["2021-01-01T00:00:01"], ">M8[us]"),
        np.zeros((2,), "V5"), padded, padded[0:0], padded[1:2], boxes, boxes[::-1, 0],
        np.asfortranarray(boxes), np.array((1, 2.5), [("n", "<i8"), (str("f"), "<f8")]),
    ]  # fmt: skip
    return made


def objects():
    nested = np.empty((2, 2), object)
    nested[0, 0], nested[0, 1] = np.array([1, 2], np.int8), np.array(5)
    nested[1, 0] = nested[0:1, 0]
    nested[1, 1] = {u"a": [nested[0, :1].copy(), (u"\0nd",)]}
    return [
        np.array([None]), np.array(None), np.array([1, u"a", 2.5], object), nested,
        np.zeros((0,), object), np.zeros((2, 0, 3), object), np.array([[True], [1 << 70]], object),
    ]  # fmt: skip


def scalars():
    kinds = [np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32]
    kinds += [np.uint64, np.float16, np.float32, np.float64, np.complex64, np.complex128]
    made = [kind(1) for kind in kinds]
    made += [np.float64(odd_nan(0x7FF8000000000123)), np.float32(-0.0), np.uint64(2**64 - 1)]
    made += [np.datetime64("2020-02-29T01:02:03"), np.datetime64("NaT"), np.timedelta64(-5, "ms")]
    made += [np.array([text])[0] for text in (b"ab", b"", u"ab", u"", u"\xe9\u20ac")]
    made += [array.ravel()[0] for array in arrays()[-6:] if array.size]
    return made


def all_values():
    """Groups of values by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy 2.5 will not have a timedelta without a unit
        return [
            (u"integers", integers()), (u"floats", floats()), (u"texts", texts()),
            (u"containers", containers()), (u"arrays", arrays()), (u"objects", objects()),
            (u"scalars", scalars()),
        ]  # fmt: skip


def differences(a, b, path=""):
    """Where two values differ in anything that can be seen, identity apart."""
    kind = type(a)
    if kind is not type(b):
        return ["%s: %r is %s, %r is %s" % (path, a, kind, b, type(b))]
    if isinstance(a, np.generic) and not isinstance(a, (bytes, TEXT, np.void)):
        same = a.dtype == b.dtype and a.tobytes() == b.tobytes()
    elif kind is np.ndarray or kind is np.void:
        return _array_differences(a, b, path)
    elif kind is float or kind is complex:
        pack = struct.Struct("<dd").pack
        same = pack(a.real, a.imag) == pack(b.real, b.imag)
    elif kind in (list, tuple):
        return _item_differences(a, b, path)
    elif kind in (dict, OrderedDict):
        if kind is OrderedDict or ORDERED:
            return _item_differences(list(a.items()), list(b.items()), path)
        return _item_differences(_sorted(a.items()), _sorted(b.items()), path)
    elif kind in (set, frozenset):
        return _item_differences(_sorted(a), _sorted(b), path)
    else:
        same = a == b
    return [] if same else ["%s: %r, %r" % (path, a, b)]


def _sorted(items):
    return sorted(items, key=_shown)


def _shown(value):
    """Its repr, where that of a set does not depend on the order in which it was filled."""
    kind = type(value)
    if kind in (set, frozenset):
        return "%s(%s)" % (kind, ", ".join(sorted(map(_shown, value))))
    if kind is tuple:
        return "%s(%s)" % (kind, ", ".join(map(_shown, value)))
    return "%s%r" % (kind, value)


def _item_differences(a, b, path):
    if len(a) != len(b):
        return ["%s: lengths %d, %d" % (path, len(a), len(b))]
    found = []
    for i in range(len(a)):
        found += differences(a[i], b[i], "%s[%d]" % (path, i))
    return found


def _array_differences(a, b, path):
    if a.dtype != b.dtype or a.dtype.names != b.dtype.names or a.shape != b.shape:
        return ["%s: %s %s, %s %s" % (path, a.dtype, a.shape, b.dtype, b.shape)]
    if type(a) is np.ndarray and a.ndim > 1 and a.flags.fnc != b.flags.fnc:
        return ["%s: another order" % path]
    if a.dtype == object:
        return _item_differences(a.ravel().tolist(), b.ravel().tolist(), path)
    if a.dtype.names is None:
        same = a.dtype.str == b.dtype.str and a.tobytes() == b.tobytes()
        return [] if same else ["%s: %r, %r" % (path, a, b)]
    found = []
    for name in a.dtype.names:
        if a.dtype.fields[name] != b.dtype.fields[name]:
            found.append("%s[%r]: another field" % (path, name))
        else:
            left, right = np.asarray(a[name]), np.asarray(b[name])
            found += _array_differences(left, right, "%s[%r]" % (path, name))
    return found


def converted(value, convert, ordered=True):
    """The value with what `convert` makes of all in it that is no container."""
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind([converted(item, convert, ordered) for item in value])
    if kind in (dict, OrderedDict):
        pairs = [
            (converted(key, convert, ordered), converted(item, convert, ordered))
            for key, item in value.items()
        ]
        return kind(pairs if ordered or kind is OrderedDict else _sorted(pairs))
    if kind is np.ndarray and value.dtype == object:
        array = np.empty(value.size, object)
        for i, item in enumerate(value.ravel()):
            array[i] = converted(item, convert, ordered)
        return array.reshape(value.shape)
    return convert(value)


def as_python_2_gets_it(value):
    """In Python 2: ASCII text is str, an integer is int where it fits."""
    if type(value) is TEXT:
        try:
            return value.encode("ascii")
        except UnicodeEncodeError:
            return value
    return int(value) if type(value) is LONG else value


def as_python_2_sent_it(value):
    """In the caller: what Python 2 calls str is text, where it is UTF-8."""
    if type(value) is bytes:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value
    return value


def main(foreign, what, path):
    sys.path.insert(0, foreign)
    from envring_worker.data import codec

    values = all_values()
    warnings.simplefilter("error")
    if what == "pack":
        with open(path, "wb") as packed:
            packed.write(codec.pack(values))
        return []
    if PY2:
        values = converted(values, as_python_2_gets_it)
    with open(path, "rb") as packed:
        return differences(codec.unpack(packed.read()), values)


if __name__ == "__main__":
    print("\n".join(main(*sys.argv[1:])))
