# SPDX-License-Identifier: MIT
"""Protocol Buffers, as far as dm_env_rpc needs them: without generated code, arrays as arrays.

A message is read field by field; fields that nobody asks for are skipped. Nothing here recurses:
messages are as deep as the code that reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envring.errors import WireError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
_LONGEST_VARINT = 10  # bytes
_MOST_FIELDS = 1 << 16  # of one message: each takes some time; arrays come as one
_MASK = (1 << 64) - 1
_SHORT = [bytes([value]) for value in range(0x80)]


def fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Iterates over number, wire type and value of a message's fields.

    The value is an int for VARINT, and the bytes as a memoryview for the others.

    Raises:
        WireError: the bytes are not a message.
    """
    at, end, room = 0, len(data), _MOST_FIELDS
    while at < end:
        room -= 1
        if room < 0:
            raise WireError(f"a message has more than {_MOST_FIELDS} fields")
        tag = data[at]
        if tag < 0x80:  # as most are
            at += 1
        else:
            tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"a message has a field with the number {number}")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            if at < end and data[at] < 0x80:
                length, at = data[at], at + 1
            else:
                length, at = _varint(data, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise WireError(f"a field has the wire type {kind}")
        if length > end - at:
            raise WireError("a field is longer than its message")
        yield number, kind, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(at, min(at + _LONGEST_VARINT, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK, place + 1
        shift += 7
    raise WireError("a number does not end")


def text(kind: int, value: Any) -> str:
    """A field of type string.

    Raises:
        WireError: it is not one.
    """
    try:
        return bytes(message(kind, value)).decode()
    except UnicodeDecodeError as error:
        raise WireError(f"a text is not UTF-8: {error.reason}") from None


def message(kind: int, value: Any) -> memoryview:
    """A field that holds a message, or bytes.

    Raises:
        WireError: it is a number.
    """
    if kind != BYTES:
        raise WireError(f"a field has the wire type {kind}, but should have {BYTES}")
    view: memoryview = value
    return view


def entry(data: memoryview) -> tuple[int, memoryview]:
    """A number and a message, which a map has at it.

    Raises:
        WireError: it is not one.
    """
    key, found = 0, memoryview(b"")
    for number, kind, value in fields(data):
        if number == 1 and kind == VARINT:
            key = value
        elif number == 2:
            found = message(kind, value)
    return key, found


def choice(data: memoryview, last: int) -> tuple[int, memoryview]:
    """Which of several messages is there: the number of its field, and it; of several the last.

    Raises:
        WireError: they are not messages.
    """
    found: tuple[int, memoryview] = 0, memoryview(b"")
    for number, kind, value in fields(data):
        if number <= last:
            found = number, message(kind, value)
    return found


def signed(value: int) -> int:
    """A varint as a number of type int32 or int64."""
    return value - (1 << 64) if value >> 63 else value


def varints(data: memoryview) -> NDArray[np.uint64]:
    """The numbers of a packed field.

    Raises:
        WireError: the last one does not end, or one is too long.
    """
    held = bytes(data)
    raw = np.frombuffer(held, np.uint8)
    if held.isascii():  # one byte each
        return raw.astype(np.uint64)
    ends = np.flatnonzero(raw < 0x80)
    if not ends.size or ends[-1] != raw.size - 1:
        raise WireError("a number does not end")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > _LONGEST_VARINT:
        raise WireError("a number is too long")
    values = np.zeros(ends.size, np.uint64)
    for place in range(longest):
        at = np.flatnonzero(lengths > place)
        part = (raw[starts[at] + place] & 0x7F).astype(np.uint64)
        values[at] |= part << np.uint64(7 * place)
    return values


def pack_varints(values: NDArray[Any]) -> bytes:
    """A packed field's bytes, of integers in any number of dimensions."""
    flat = values.ravel().astype(np.int64, copy=False).view(np.uint64)
    if values.dtype == np.uint64:
        flat = values.ravel()
    if flat.size == 0 or flat.max() < 0x80:
        return flat.astype(np.uint8).tobytes()
    lengths = np.ones(flat.size, np.int64)
    for place in range(1, _LONGEST_VARINT):
        lengths += flat >> np.uint64(7 * place) != 0
    starts = np.cumsum(lengths) - lengths
    raw = np.empty(int(lengths.sum()), np.uint8)
    for place in range(int(lengths.max())):
        at = np.flatnonzero(lengths > place)
        low = ((flat[at] >> np.uint64(7 * place)) & np.uint64(0x7F)).astype(np.uint8)
        raw[starts[at] + place] = low | ((lengths[at] > place + 1).astype(np.uint8) << 7)
    return raw.tobytes()


def varint(value: int) -> bytes:
    """A number's bytes."""
    if 0 <= value < 0x80:
        return _SHORT[value]
    value &= _MASK
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def number_field(number: int, value: int) -> bytes:
    """A field with a number; nothing at all for 0, its default."""
    return varint(number << 3 | VARINT) + varint(value) if value else b""


def bytes_field(number: int, *parts: Any) -> bytes:
    """A field with bytes, a text's or a message's, given in parts."""
    length = sum(len(part) for part in parts)
    return b"".join((varint(number << 3 | BYTES), varint(length), *parts))
