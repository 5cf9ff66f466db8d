# SPDX-License-Identifier: MIT
"""Values to and from another interpreter. docs/codec.md describes the bytes."""

from __future__ import annotations

import re
import struct
from collections import OrderedDict
from typing import Any

import numpy as np

from envring._foreign.envring_worker import codec
from envring.errors import CodecError, UnsendableError


def dumps(value: Any) -> bytes:
    """A value as bytes for a worker.

    Args:
        value: None, bool, int, float, complex, str, bytes, and lists, tuples, dicts, OrderedDicts,
            sets, frozensets, numpy arrays and numpy scalars of these; exactly these types.

    Raises:
        UnsendableError: something in it would not arrive as what it is; the text says where.
    """
    try:
        data: bytes = codec.pack(value)
        return data
    except codec.Unsendable as error:
        raise UnsendableError(str(error)) from None


def loads(data: bytes, python2: bool = False) -> Any:
    """The value that a worker packed. Whatever the bytes are, nothing is executed.

    Args:
        data: all bytes of one value.
        python2: the worker is Python 2: its `str` becomes str where it is UTF-8, else bytes.

    Returns:
        The value; its arrays are writable and own their memory.

    Raises:
        CodecError: the bytes are not those of a value.
    """
    reader = _Reader(data, python2)
    try:
        value = reader.value(0)
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise CodecError(f"malformed value near byte {reader.at}: {error}") from None
    if reader.at != len(data):
        raise CodecError(f"{len(data) - reader.at} bytes follow the value")
    return value


_MAX_INT = 2**31 - 1
_SIMPLE = re.compile(
    r"[<>|](?:[biufc][0-9]{1,2}|[SUV][0-9]{1,9})|[<>][mM]8(?:\[[0-9]{0,9}(?:[YMWDhms]|[munpfa]s|generic)\])?"
)


class _Reader:
    def __init__(self, data: bytes, python2: bool) -> None:
        self.data = data
        self.at = 0
        self.python2 = python2
        self.raw = False
        self.interned: list[bytes] = []

    def take(self, count: int) -> bytes:
        if count < 0 or len(self.data) - self.at < count:
            raise ValueError("it ends too soon")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little", signed=True)

    def count(self) -> int:
        count = self.number()
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError("it ends too soon")
        return count

    def value(self, depth: int) -> Any:
        tag = self.take(1)
        if tag in b"NTF":
            return {b"N": None, b"T": True, b"F": False}[tag]
        if tag == b"i":
            return self.number()
        if tag == b"I":
            return struct.unpack("<q", self.take(8))[0]
        if tag == b"l":
            return self.big()
        if tag == b"g":
            return struct.unpack("<d", self.take(8))[0]
        if tag == b"y":
            return complex(*struct.unpack("<dd", self.take(16)))
        if tag == b"u":
            return self.take(self.count()).decode("utf-8", "surrogatepass")
        if tag == b"s" or (self.python2 and tag in b"tR"):
            return self.string(tag)
        if depth >= codec.MAX_DEPTH:
            raise ValueError("it is nested too deep")
        if tag == b"[":
            return [self.value(depth + 1) for _ in range(self.count())]
        if tag == b"{":
            return self.mapping(depth)
        if tag == b"(":
            count = self.count()
            if count and self.data[self.at : self.at + 6] == b"u\x03\x00\x00\x00\x00":
                return self.tagged(count, depth)
            return tuple([self.value(depth + 1) for _ in range(count)])
        raise ValueError(f"the type {tag!r} is not one of a value")

    def big(self) -> int:
        count = self.number()
        digits = struct.unpack(f"<{abs(count)}H", self.take(2 * abs(count)))
        if digits and (max(digits) > 0x7FFF or not digits[-1]):
            raise ValueError("no such integer")
        value = sum(digit << (15 * i) for i, digit in enumerate(digits))
        return -value if count < 0 else value

    def string(self, tag: bytes) -> bytes | str:
        if tag == b"R":
            index = self.number()
            if not 0 <= index < len(self.interned):
                raise ValueError("no such string")
            text = self.interned[index]
            if self.raw and len(text) > 16:
                raise ValueError("no bytes of its own")
        else:
            text = self.take(self.count())
            if tag == b"t":
                self.interned.append(text)
        if not self.python2 or self.raw:
            return text
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:
            return text

    def mapping(self, depth: int) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        count = 0
        while self.data[self.at : self.at + 1] != b"0":
            key = self.value(depth + 1)
            out[key] = self.value(depth + 1)
            count += 1
        self.take(1)
        if len(out) != count:
            raise ValueError("a key is there twice")
        return out

    def tagged(self, count: int, depth: int) -> Any:
        tag = self.take(8)[5:]
        if tag in (b"\0nd", b"\0nf", b"\0ns"):
            return self.numpy(tag, count, depth)
        items = [self.value(depth + 1) for _ in range(count - 1)]
        if tag == b"\0tu":
            return tuple(items)
        made: Any
        if tag == b"\0od" and len(items) % 2 == 0:
            made, expected = OrderedDict(zip(items[::2], items[1::2], strict=True)), len(items) // 2
        elif tag in (b"\0se", b"\0fs"):
            made, expected = (set if tag == b"\0se" else frozenset)(items), len(items)
        else:
            raise ValueError(f"no such tag: {tag!r}")
        if len(made) != expected:
            raise ValueError("a key or item is there twice")
        return made

    def numpy(self, tag: bytes, count: int, depth: int) -> Any:
        if count != (3 if tag == b"\0ns" else 4):
            raise ValueError("no array")
        data = self.value(codec.MAX_DEPTH - 20)
        shape = () if tag == b"\0ns" else self.value(codec.MAX_DEPTH - 1)
        self.raw = True
        content = self.value(codec.MAX_DEPTH)
        self.raw = False
        if tag == b"\0ns" and data == "U" and type(content) is str:
            return np.str_(content)
        if type(content) is not bytes:
            raise ValueError("an array without bytes")
        if tag == b"\0ns" and data == "S":
            return np.bytes_(content)
        _check_shape(shape)
        dtype = _dtype(data, 0, [codec.MAX_FIELDS])
        if dtype.subdtype is not None or not dtype.itemsize:
            raise ValueError("no dtype of an array")
        size = 1
        for length in shape:
            size *= length
        if size * dtype.itemsize != len(content) or (
            not size and dtype.itemsize > codec.MAX_ITEM_OF_NONE
        ):
            raise ValueError("an array of another size than its bytes")
        order = "F" if tag == b"\0nf" else "C"
        array = np.ndarray(shape, dtype, content, order=order).copy(order)  # type: ignore[arg-type]
        _clean(array)
        return array[()] if tag == b"\0ns" else array


def _check_shape(shape: Any) -> None:
    if type(shape) is not tuple or len(shape) > 64:
        raise ValueError("no shape")
    for length in shape:
        if type(length) is not int or not 0 <= length < 2**62:
            raise ValueError("no shape")


def _dtype(data: Any, depth: int, room: list[int]) -> np.dtype[Any]:
    if type(data) is str:
        if _SIMPLE.fullmatch(data) is None:
            raise ValueError(f"no dtype: {data!r:.60}")
        return np.dtype(data)
    if type(data) is not tuple or len(data) != 3:
        raise ValueError("no dtype")
    if data[0] == "A" and depth:
        _check_shape(data[2])
        return np.dtype((_dtype(data[1], depth, room), data[2]))
    kind, itemsize, fields = data
    if kind != "V" or type(itemsize) is not int or not 0 < itemsize <= _MAX_INT:
        raise ValueError("no dtype")
    if type(fields) is not tuple or depth >= codec.MAX_FIELD_DEPTH:
        raise ValueError("no dtype")
    room[0] -= len(fields)
    if room[0] < 0:
        raise ValueError("a dtype of too many fields")
    names, formats, offsets = [], [], []
    for field in fields:
        if type(field) is not tuple or len(field) != 3:
            raise ValueError("no field")
        name, offset, inner = field
        if type(name) is not str or type(offset) is not int or not 0 <= offset <= itemsize:
            raise ValueError("no field")
        names.append(name)
        offsets.append(offset)
        formats.append(_dtype(inner, depth + 1, room))
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


def _clean(array: np.ndarray[Any, Any]) -> None:
    """Refuses characters that there are not, and makes 1 of what else stands for True."""
    dtype = array.dtype
    if dtype.names is not None:
        for name in dtype.names:
            _clean(array[name])
    elif dtype.kind == "U" and array.size:
        codes = array[..., None].view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if codes.max() > 0x10FFFF:
            raise ValueError("no text")
    elif dtype.kind == "b":
        np.not_equal(array.view(np.uint8), 0, out=array)
