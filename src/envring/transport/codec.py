# SPDX-License-Identifier: MIT
"""Values to and from workers in other interpreters. docs/codec.md describes the bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from envring._foreign.envring_worker.data import codec
from envring.core import _core
from envring.errors import CodecError, UnsendableError


def dumps(value: Any) -> bytes:
    """A value as bytes for a worker.

    Args:
        value: None, bool, int, float, complex, str, bytes, numpy scalars and arrays, and lists,
            tuples, dicts, OrderedDicts, sets and frozensets of these. Exactly these types: a
            subclass would not arrive as what it is.

    Raises:
        UnsendableError: something in it would arrive as another type; the text names the place.
    """
    try:
        data: bytes = codec.pack(value)
    except codec.Unsendable as error:
        raise UnsendableError(str(error)) from None
    return data


def loads(data: bytes, python2: bool = False) -> Any:
    """The value that a worker packed. Whatever the bytes are, nothing in them is executed.

    Args:
        data: all bytes of one value.
        python2: the worker is Python 2: its `str` becomes str where it is UTF-8, else bytes.

    Returns:
        The value. Its arrays are writable and own their memory.

    Raises:
        CodecError: these are not the bytes of a value.
    """
    try:
        return _core.decode(data, python2)
    except ValueError as error:
        raise CodecError(f"a worker sent bytes that are not a value: {error}") from None


def as_bytes(value: Any) -> Any:
    """Bytes, where a worker of Python 2 sent bytes that could be read as text; else the value."""
    return value.encode() if isinstance(value, str) else value


def has_name(value: Any) -> bool:
    """Whether it begins with text, as messages do; an array there compares with no name."""
    return isinstance(value, (tuple, list)) and bool(value) and isinstance(value[0], str)


def matchable(value: Any) -> Any:
    """What arrived, for `match` with patterns such as `case (first, second):`.

    From NumPy 2.5 on arrays match such patterns, and one without dimensions raises a TypeError.

    Returns:
        The value; None if it is an array.
    """
    return None if isinstance(value, np.ndarray) else value
