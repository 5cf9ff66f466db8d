# SPDX-License-Identifier: MIT
r"""Values as bytes that every interpreter writes and reads in C: marshal's version 2 of plain data.

Values of other types become a tuple whose first item is a text that begins with NUL:

==================================  ==============================================================
`("\0nd", dtype, shape, bytes)`     ndarray, in C order
`("\0nf", dtype, shape, bytes)`     ndarray, in Fortran order
`("\0no", shape, item, ...)`         ndarray of objects, in C order
`("\0ns", dtype, bytes)`            numpy scalar; dtype "U": the text itself, "S": the bytes itself
`("\0od", k, v, k, v, ...)`         OrderedDict
`("\0se", ...)`, `("\0fs", ...)`    set, frozenset
`("\0tu", ...)`                     tuple whose own first item is a text that begins with NUL
==================================  ==============================================================

A dtype is its `str`, or `("V", itemsize, ((name, offset, dtype), ...))` with fields, which may
be `("A", dtype, shape)`. docs/codec.md of envring describes the bytes.
"""

from __future__ import absolute_import, division, print_function

import marshal
import sys
from collections import OrderedDict

import numpy as np

MAX_DEPTH = 100  #: nested containers
MAX_FIELD_DEPTH = 8  #: nested structured dtypes
MAX_FIELDS = 1024  #: of one dtype, on all levels
MAX_ITEM_OF_NONE = 1 << 16  #: bytes of an element, in an array of no elements
MAX_ITEMS = 1 << 24  #: in nested containers: an object in two places is written twice
MAX_BYTES = (1 << 31) - 1  #: of one array

_PY2 = sys.version_info[0] == 2
_TEXT = type(u"")
_LONG = type(1 << 80)
# a text of three bytes, the first of them NUL
_TAG = b"u\x03\x00\x00\x00\x00"

# types that marshal writes in the same way in every interpreter
_PLAIN = {type(None), bool, int, _LONG, float, complex, bytes}
if not _PY2:
    _PLAIN.add(_TEXT)
_all_plain = _PLAIN.issuperset
_ARRAY_KINDS = frozenset("biufcSUmM")
_MAX_DTYPES = 256
_dtypes = {}  # dtype -> its description, for dtypes seen before

_ADVICE = "send numbers, text, bytes, lists, tuples, dicts, sets or numpy arrays of them"


class Unsendable(TypeError):
    """A value would not arrive unchanged in another interpreter.

    Attributes:
        path: where it is in the packed value, "['a'][0]".
        reason: why it cannot be sent.
    """

    def __init__(self, reason):
        TypeError.__init__(self, reason)
        self.reason = reason
        self._steps = []

    def within(self, step):
        """Records that the value is in a container, under this key or index."""
        self._steps.append("[%.60r]" % (step,))

    def in_key(self, key):
        """Records that the value is, or is in, a key of a dict or an item of a set."""
        self.reason = "its key or item %.60r: %s" % (key, self.reason)
        self._steps = []

    @property
    def path(self):
        steps = self._steps[::-1]
        if len(steps) > 12:
            steps[8:-3] = ["[...]"]
        return "".join(steps)

    def __str__(self):
        return "%s: %s" % (self.path or "it", self.reason)


def pack(value):
    """Returns the value as bytes.

    Raises:
        Unsendable: something in it would not arrive unchanged.
    """
    if type(value) not in _PLAIN:
        value = _convert(value, 0, [MAX_ITEMS])
    try:
        return marshal.dumps(value, 2)
    except ValueError:  # the only reason left
        raise Unsendable("text or bytes of more than 2 GiB cannot be sent")


def unpack(data):
    """Returns the value of bytes from the caller, which is trusted.

    Under Python 2, ASCII text becomes `str`, and integers become `int` if they fit.
    """
    value = marshal.loads(data)
    return _restore(value) if _PY2 or _TAG in data else value


# -- packing -------------------------------------------------------------------------------------


def _convert(value, depth, room):
    """Returns what marshal writes for the value: the value itself where possible."""
    convert = _CONVERT.get(type(value))
    if convert is None:
        raise Unsendable("%r cannot be sent to another interpreter; %s" % (type(value), _ADVICE))
    return convert(value, depth, room)


def _bound(value, depth, room):
    """Refuses values that contain themselves, or contain too many items."""
    if depth >= MAX_DEPTH:
        raise Unsendable("it is nested deeper than %d levels, or holds itself" % MAX_DEPTH)
    room[0] -= len(value)
    if room[0] < 0:
        raise Unsendable(
            "there are more than %d items (one that is in several places counts in each)"
            % MAX_ITEMS
        )


def _from_plain(value, depth, room):
    return value


def _from_text(value, depth, room):
    """Python 2: refuses surrogate pairs, which its UTF-8 would join to one character."""
    if sys.maxunicode > 0xFFFF:
        last = u""
        for character in value:
            if u"\ud800" <= last <= u"\udbff" and u"\udc00" <= character <= u"\udfff":
                raise Unsendable("text with a surrogate pair would arrive as different text")
            last = character
    return value


def _from_list(value, depth, room):
    """Returns the items, converted: the value itself if none changes, else a list."""
    if depth > 2:
        _bound(value, depth, room)
    if _all_plain(map(type, value)):
        return value
    items = []
    try:
        for item in value:
            items.append(item if type(item) in _PLAIN else _convert(item, depth + 1, room))
    except Unsendable as error:
        error.within(len(items))
        raise
    return items


def _from_tuple(value, depth, room):
    items = tuple(_from_list(value, depth, room))
    if value and type(value[0]) is _TEXT and value[0][:1] == u"\0":
        return (u"\0tu",) + items
    return items


def _from_dict(value, depth, room):
    if depth > 2:
        _bound(value, depth, room)
    out = value
    key = None
    try:
        for key, item in value.items():
            if type(key) not in _PLAIN:
                break
            if type(item) not in _PLAIN:
                new = _convert(item, depth + 1, room)
                if new is not item:
                    if out is value:
                        out = value.copy()
                    out[key] = new
        else:
            return out
    except Unsendable as error:
        error.within(key)
        raise
    pairs = _pairs(value, depth, room)
    out = dict(zip(pairs[::2], pairs[1::2]))
    if len(out) != len(value):  # for example several numpy NaN
        raise Unsendable("several keys of it would arrive as one")
    return out


def _from_ordered_dict(value, depth, room):
    _bound(value, depth, room)
    return tuple([u"\0od"] + _pairs(value, depth, room))


def _from_set(value, depth, room):
    _bound(value, depth, room)
    return tuple([u"\0se" if type(value) is set else u"\0fs"] + _keys(value, depth, room))


def _pairs(value, depth, room):
    """Returns keys and values, converted, alternating."""
    pairs = [None] * (2 * len(value))
    pairs[::2] = _keys(value, depth, room)
    at = 1
    for key, item in value.items():
        try:
            pairs[at] = _convert(item, depth + 1, room)
        except Unsendable as error:
            error.within(key)
            raise
        at += 2
    return pairs


def _keys(value, depth, room):
    """Returns the keys of a dict, or items of a set, converted."""
    if _PY2 and _TEXT in map(type, value):
        _check_one_kind_of_text(value)
    keys = []
    for key in value:
        try:
            keys.append(_convert(key, depth + 1, room))
        except Unsendable as error:
            error.in_key(key)
            raise
    return keys


def _check_one_kind_of_text(keys):
    """Python 2: refuses bytes that are UTF-8, arrive as text, and then equal another key."""
    for key in keys:
        if type(key) is bytes:
            try:
                text = key.decode("utf-8")
            except UnicodeDecodeError:
                continue
            if len(text) != len(key) and text in keys:
                raise Unsendable("its keys %r and %r would arrive as one" % (key, text))


def _from_array(value, depth, room):
    spec = _dtypes.get(value.dtype)
    if value.nbytes > MAX_BYTES:
        raise Unsendable("an array of more than 2 GiB cannot be sent")
    if spec is None:
        if value.dtype.kind == "O":
            return _from_objects(value, depth, room)
        spec = _dtype_data(value.dtype)
        if not value.size and value.dtype.itemsize > MAX_ITEM_OF_NONE:
            raise Unsendable("an array of no elements, each of %d bytes" % value.dtype.itemsize)
    if value.flags.fnc:
        return (u"\0nf", spec, value.shape, value.tobytes("F"))
    return (u"\0nd", spec, value.shape, value.tobytes())


def _from_objects(value, depth, room):
    items = value.ravel().tolist()
    _bound(items, depth, room)
    return (u"\0no", value.shape) + tuple(_from_list(items, depth, room))


def _from_scalar(value, depth, room):
    dtype = value.dtype
    return (u"\0ns", _dtypes.get(dtype) or _dtype_data(dtype), value.tobytes())


def _from_bytes_scalar(value, depth, room):
    return (u"\0ns", u"S", value[:])


def _from_text_scalar(value, depth, room):
    return (u"\0ns", u"U", _convert(value[:], depth, room))


def _dtype_data(dtype):
    data = _describe_dtype(dtype, 0, [MAX_FIELDS])
    if len(_dtypes) < _MAX_DTYPES and dtype.itemsize <= MAX_ITEM_OF_NONE:
        _dtypes[dtype] = data
    return data


def _describe_dtype(dtype, depth, room):
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return (u"A", _describe_dtype(base, depth, room), shape)
    if not dtype.itemsize:
        raise Unsendable("dtype %s, whose size is 0, cannot be sent" % (dtype,))
    if dtype.names is None:
        if dtype.kind not in _ARRAY_KINDS and dtype.kind != "V":
            raise Unsendable("dtype %s cannot be sent" % (dtype,))
        return dtype.str.decode("ascii") if _PY2 else dtype.str
    room[0] -= len(dtype.names)
    if depth >= MAX_FIELD_DEPTH or room[0] < 0:
        raise Unsendable("a dtype with too many fields cannot be sent")
    fields = []
    for name in dtype.names:
        field = dtype.fields[name]
        if len(field) > 2:
            raise Unsendable("a dtype whose fields have titles cannot be sent")
        try:
            text = name.decode("utf-8") if _PY2 else name
        except UnicodeDecodeError:
            raise Unsendable("a dtype whose field is called %r cannot be sent" % (name,))
        fields.append((text, field[1], _describe_dtype(field[0], depth + 1, room)))
    return (u"V", dtype.itemsize, tuple(fields))


_CONVERT = {
    _TEXT: _from_text if _PY2 else _from_plain,
    list: _from_list,
    tuple: _from_tuple,
    dict: _from_dict,
    OrderedDict: _from_ordered_dict,
    set: _from_set,
    frozenset: _from_set,
    np.ndarray: _from_array,
}
_CONVERT.update((kind, _from_plain) for kind in _PLAIN)
_CONVERT.update((np.dtype(code).type, _from_scalar) for code in "?bhilqBHILQefdgFDGmMV")
_CONVERT[np.dtype("S").type] = _from_bytes_scalar
_CONVERT[np.dtype("U").type] = _from_text_scalar


# -- unpacking -----------------------------------------------------------------------------------


def _restore(value):
    kind = type(value)
    if kind is tuple:
        if value and type(value[0]) is _TEXT and value[0][:1] == u"\0":
            return _RESTORE[value[0]](value)
        return tuple([_restore(item) for item in value])
    if kind is list:
        return [_restore(item) for item in value]
    if kind is dict:
        return {_restore(key): _restore(item) for key, item in value.items()}
    if _PY2:
        if kind is _TEXT:
            try:
                return value.encode("ascii")
            except UnicodeEncodeError:
                return value
        if kind is _LONG:
            return int(value)
    return value


def _array(value):
    order = "F" if value[0] == u"\0nf" else "C"
    return np.ndarray(value[2], _dtype(value[1]), value[3], order=order).copy(order)


def array_of_objects(items, shape):
    """Returns an ndarray of objects; items are its elements in C order."""
    array = np.empty(len(items), object)
    for i, item in enumerate(items):  # a slice would unpack items that are sequences
        array[i] = item
    return array.reshape(shape)


def _scalar(value):
    if value[1] in (u"U", u"S"):
        return np.dtype(str(value[1])).type(value[2])
    return np.ndarray((), _dtype(value[1]), value[2]).copy()[()]


def _dtype(data):
    if type(data) is not tuple:
        return np.dtype(str(data))
    if data[0] == u"A":
        return np.dtype((_dtype(data[1]), data[2]))
    names = [name.encode("utf-8") if _PY2 else name for name, _, _ in data[2]]
    offsets = [offset for _, offset, _ in data[2]]
    formats = [_dtype(field) for _, _, field in data[2]]
    return np.dtype(
        {"names": names, "formats": formats, "offsets": offsets, "itemsize": data[1]}
    )


def _ordered_dict(value):
    return OrderedDict(zip(map(_restore, value[1::2]), map(_restore, value[2::2])))


_RESTORE = {
    u"\0nd": _array,
    u"\0nf": _array,
    u"\0no": lambda value: array_of_objects([_restore(item) for item in value[2:]], value[1]),
    u"\0ns": _scalar,
    u"\0od": _ordered_dict,
    u"\0se": lambda value: set(map(_restore, value[1:])),
    u"\0fs": lambda value: frozenset(map(_restore, value[1:])),
    u"\0tu": lambda value: tuple(map(_restore, value[1:])),
}
