# SPDX-License-Identifier: MIT
"""Deep bitwise comparison of the results of vector environments."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np

__all__ = ["assert_same_batch", "fingerprint"]


def assert_same_batch(actual: Any, expected: Any, *, where: str = "batch") -> None:
    """Check that two results of `reset`, `step` or `call` are the same to the last bit.

    Containers must have the same type, length and (for dicts) keys in the same order; arrays the
    same type, dtype, shape and bytes; scalars the same type and bits. So NaN equals a NaN with the
    same bits, `0.0` differs from `-0.0`, and `1` differs from `True`.

    Args:
        actual: Value under test: any nesting of dicts, tuples, lists, arrays and scalars.
        expected: Value it must equal.
        where: Name of the value, used as the start of the path in the message.

    Raises:
        AssertionError: With the path of the first difference and both values.
    """
    if type(actual) is not type(expected):
        _differ(where, f"type {_type(actual)}, expected {_type(expected)}", actual, expected)
    if isinstance(expected, np.ndarray):
        _same_array(actual, expected, where)
    elif isinstance(expected, dict):
        if list(actual) != list(expected):
            _differ(where, f"keys {list(actual)}, expected {list(expected)}", actual, expected)
        for key, value in expected.items():
            assert_same_batch(actual[key], value, where=f"{where}[{key!r}]")
    elif isinstance(expected, (tuple, list)):
        if len(actual) != len(expected):
            _differ(where, f"length {len(actual)}, expected {len(expected)}", actual, expected)
        for index, (left, right) in enumerate(zip(actual, expected, strict=True)):
            assert_same_batch(left, right, where=f"{where}[{index}]")
    elif isinstance(expected, np.generic):
        if actual.dtype != expected.dtype or _plain_bytes(actual) != _plain_bytes(expected):
            _differ(where, "value", actual, expected)
    elif isinstance(expected, (float, complex)):
        if _bits(actual) != _bits(expected):
            _differ(where, "value", actual, expected)
    elif actual != expected:
        _differ(where, "value", actual, expected)


def fingerprint(value: Any) -> str:
    """Return a digest of a value's types, structure and bits.

    Two values have the same fingerprint if and only if `assert_same_batch` accepts them, so a
    fingerprint taken earlier shows whether an array has changed.

    Args:
        value: Any nesting of dicts, tuples, lists, arrays and scalars.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, value)
    return digest.hexdigest()


def _same_array(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], where: str) -> None:
    if actual.dtype != expected.dtype:
        _differ(where, f"dtype {actual.dtype}, expected {expected.dtype}", actual, expected)
    if actual.shape != expected.shape:
        _differ(where, f"shape {actual.shape}, expected {expected.shape}", actual, expected)
    if expected.dtype == object:
        for index in np.ndindex(expected.shape):
            place = "".join(f"[{i}]" for i in index)
            assert_same_batch(actual[index], expected[index], where=where + place)
    elif _plain_bytes(actual) != _plain_bytes(expected):
        _differ(where, _first_difference(actual, expected), actual, expected)


def _first_difference(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> str:
    count = 0
    first: tuple[int, ...] | None = None
    for index in np.ndindex(expected.shape):
        if _plain_bytes(actual[index]) != _plain_bytes(expected[index]):
            first = index if first is None else first
            count += 1
    assert first is not None
    values = f"{actual[first]!r}, expected {expected[first]!r}"
    return f"{count} of {expected.size} elements, first at {first}: {values}"


def _plain_bytes(value: np.ndarray[Any, Any] | np.generic) -> bytes:
    if value.dtype.char not in "gG":
        return value.tobytes()
    # 80-bit floats are stored with padding, whose content is undefined
    numbers = np.ascontiguousarray(value).reshape(-1)
    parts = numbers.view(np.longdouble).view(np.uint8).reshape(-1, np.dtype("g").itemsize).copy()
    if np.finfo(np.longdouble).nmant == 63:
        parts[:, 10:] = 0
    return parts.tobytes()


def _bits(value: complex) -> bytes:
    number = complex(value)
    return struct.pack("<dd", number.real, number.imag)


def _type(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _differ(where: str, what: str, actual: Any, expected: Any) -> None:
    raise AssertionError(
        f"{where} differs: {what}\n  actual:   {actual!r:.2000}\n  expected: {expected!r:.2000}"
    )


def _feed(digest: Any, value: Any) -> None:
    digest.update(f"<{_type(value)}".encode())
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype!r}{value.shape}".encode())
        if value.dtype == object:
            for item in value.flat:
                _feed(digest, item)
        else:
            digest.update(_plain_bytes(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            _feed(digest, key)
            _feed(digest, item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            _feed(digest, item)
    elif isinstance(value, np.generic):
        digest.update(repr(value.dtype).encode() + _plain_bytes(value))
    elif isinstance(value, (float, complex)):
        digest.update(_bits(value))
    else:
        digest.update(repr(value).encode())
    digest.update(b">")
