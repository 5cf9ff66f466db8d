# SPDX-License-Identifier: MIT
"""The codec's bytes read a second time: slowly, plainly, as docs/codec.md has them."""

import math
import re
import struct
from collections import OrderedDict

import numpy as np

MAX_DEPTH, DTYPE_DEPTH = 100, 40
MAX_FIELDS, MAX_FIELD_DEPTH = 1024, 8
DTYPE = re.compile(
    r"[<>|](?:[biufc][0-9]{1,2}|[SUV][0-9]{1,9})"
    r"|[<>][mM]8(?:\[(?:[1-9][0-9]{0,8})?(?:[YMWDhms]|[munpfa]s)\])?",
    re.ASCII,
)


class Malformed(Exception):
    """These are not the bytes of a value."""


def expect(condition):
    if not condition:
        raise Malformed


def read(data, python2=False):
    """The value, or Malformed."""
    reader = Reader(data, python2)
    try:
        value = reader.value(0)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise Malformed(str(error)) from None
    expect(reader.at == len(data))
    return value


class Reader:
    def __init__(self, data, python2):
        self.data = data
        self.at = 0
        self.python2 = python2
        self.in_dtype = False
        self.interned = []

    def take(self, count):
        expect(0 <= count <= len(self.data) - self.at)
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self):
        return int.from_bytes(self.take(4), "little", signed=True)

    def count(self):
        count = self.number()
        expect(0 <= count <= len(self.data) - self.at)
        return count

    def value(self, depth):
        tag = self.take(1)
        match tag:
            case b"N":
                return None
            case b"T" | b"F":
                return tag == b"T"
            case b"i":
                return self.number()
            case b"I":
                return int.from_bytes(self.take(8), "little", signed=True)
            case b"l":
                return self.big()
            case b"g":
                return struct.unpack("<d", self.take(8))[0]
            case b"y":
                return complex(*struct.unpack("<dd", self.take(16)))
            case b"u":
                return self.take(self.count()).decode("utf-8", "surrogatepass")
            case b"s" | b"t" | b"R":
                return self.text(self.string(tag))
            case b"[":
                return list(self.items(self.count(), depth))
            case b"(":
                count = self.count()
                if count and self.data[self.at : self.at + 6] == b"u\3\0\0\0\0":
                    return self.tagged(count - 1, depth)
                return tuple(self.items(count, depth))
            case b"{":
                return self.mapping(depth)
        raise Malformed(tag)

    def items(self, count, depth):
        expect(depth < MAX_DEPTH)
        return [self.value(depth + 1) for _ in range(count)]

    def big(self):
        count = self.number()
        digits = struct.unpack(f"<{abs(count)}H", self.take(2 * abs(count)))
        expect(all(digit < 1 << 15 for digit in digits))
        expect(not digits or digits[-1])
        value = sum(digit << (15 * i) for i, digit in enumerate(digits))
        return -value if count < 0 else value

    def string(self, tag, of_array=False):
        if tag == b"s":
            return self.take(self.count())
        expect(self.python2)
        if tag == b"t":
            self.interned.append(self.take(self.count()))
            return self.interned[-1]
        index = self.number()
        expect(0 <= index < len(self.interned))
        expect(not of_array or len(self.interned[index]) <= 16)
        return self.interned[index]

    def text(self, content):
        if self.python2:
            try:
                return content.decode("utf-8")
            except UnicodeDecodeError:
                pass
        return content

    def mapping(self, depth):
        expect(depth < MAX_DEPTH)
        pairs = []
        while self.data[self.at : self.at + 1] != b"0":
            pairs.append((self.value(depth + 1), self.value(depth + 1)))
        self.take(1)
        return unique(dict(pairs), pairs)

    def tagged(self, count, depth):
        expect(not self.in_dtype)
        tag = self.take(8)[6:]
        if tag in (b"nd", b"nf"):
            expect(count == 3)
            return self.array(self.dtype(), self.shape(), self.content(), tag == b"nf")
        if tag == b"ns":
            expect(count == 2)
            return self.scalar()
        if tag == b"no":
            expect(count and depth < MAX_DEPTH)
            return self.objects(self.shape(), [self.value(depth + 1) for _ in range(count - 1)])
        items = self.items(count, depth)
        match tag:
            case b"tu":
                return tuple(items)
            case b"od":
                pairs = list(zip(items[::2], items[1::2], strict=True))
                return unique(OrderedDict(pairs), pairs)
            case b"se":
                return unique(set(items), items)
            case b"fs":
                return unique(frozenset(items), items)
        raise Malformed(tag)

    def content(self):
        tag = self.take(1)
        expect(tag in (b"s", b"t", b"R"))
        return self.string(tag, of_array=True)

    def shape(self):
        expect(self.take(1) == b"(")
        count = self.count()
        expect(count <= 64)
        lengths = []
        for _ in range(count):
            expect(self.data[self.at : self.at + 1] in (b"i", b"I", b"l"))
            lengths.append(self.value(0))
            expect(0 <= lengths[-1] <= 1 << 62)
        return tuple(lengths)

    def dtype(self):
        if self.data[self.at : self.at + 1] == b"u":
            return simple_dtype(self.value(0))
        self.in_dtype = True
        data = self.value(MAX_DEPTH - DTYPE_DEPTH)
        self.in_dtype = False
        return structured_dtype(data, MAX_FIELD_DEPTH, [MAX_FIELDS])

    def array(self, dtype, shape, content, fortran):
        size = 1
        for length in shape:
            size *= length
        expect(size * dtype.itemsize == len(content))
        expect(size or dtype.itemsize <= 1 << 16)
        order = "F" if fortran else "C"
        array = np.ndarray(shape, dtype, content, order=order).copy(order)
        check(array)
        return array

    def objects(self, shape, items):
        expect(math.prod(shape) == len(items))
        array = np.empty(len(items), object)
        for i, item in enumerate(items):
            array[i] = item
        return array.reshape(shape)

    def scalar(self):
        if self.data[self.at : self.at + 5] == b"u\1\0\0\0":
            kind = self.take(6)[5:]
            if kind == b"S":
                return np.bytes_(self.content())
            expect(kind == b"U" and self.data[self.at : self.at + 1] == b"u")
            return np.str_(self.value(0))
        return self.array(self.dtype(), (), self.content(), False)[()]


def unique(made, items):
    expect(len(made) == len(items))
    return made


def simple_dtype(text):
    expect(type(text) is str and DTYPE.fullmatch(text))
    expect(text[1] != "U" or 4 * int(text[2:]) < 2**31)
    dtype = np.dtype(text)
    expect(dtype.itemsize)
    return dtype


def structured_dtype(data, depth, room):
    expect(type(data) is tuple and len(data) == 3)
    kind, itemsize, fields = data
    expect(kind == "V" and is_length(itemsize) and type(fields) is tuple and depth)
    room[0] -= len(fields)
    expect(room[0] >= 0)
    names, formats, offsets = [], [], []
    for name, offset, inner in fields:
        expect(type(name) is str and is_length(offset))
        shape = ()
        if type(inner) is tuple and inner[0] == "A":
            _, inner, shape = inner
            expect(type(shape) is tuple and all(is_length(length) for length in shape))
        if type(inner) is tuple:
            made = structured_dtype(inner, depth - 1, room)
        else:
            made = simple_dtype(inner)
        sizes = [made.itemsize * math.prod(shape[:i]) for i in range(len(shape) + 1)]
        expect(max(sizes) < 2**31 and offset + sizes[-1] <= itemsize)
        names.append(name)
        offsets.append(offset)
        formats.append(np.dtype((made, shape)) if shape else made)
    dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})
    expect(dtype.names == tuple(names) and dtype.itemsize == itemsize > 0)
    return dtype


def is_length(value):
    return type(value) is int and 0 <= value < 2**31


def check(array):
    """Refuses characters that there are not; what else stands for True becomes 1."""
    if array.dtype.names is not None:
        for name in array.dtype.names:
            check(array[name])
    elif array.dtype.kind == "U":
        codes = array.ravel().view(np.dtype("u4").newbyteorder(array.dtype.byteorder))
        expect(not array.size or codes.max() <= 0x10FFFF)
    elif array.dtype.kind == "b":
        array[...] = array.view("u1") != 0
