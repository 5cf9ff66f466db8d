# SPDX-License-Identifier: MIT
"""Plain data that is nearly right, for the readers of what comes from elsewhere."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from envring.errors import EnvringError
from envring.transport import codec

# `make fuzz` has ENVRING_FUZZ seconds
_FACTOR = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "search" else 1
_FACTOR = max(_FACTOR, int(float(os.environ.get("ENVRING_FUZZ", "0"))))


def examples(count: int) -> settings:
    """So many examples in each run, and more where more are wanted."""
    return settings(
        max_examples=count * _FACTOR, deadline=None, suppress_health_check=list(HealthCheck)
    )


_NUMBERS = [-1, 0, 1, 2, 7, 255, 1 << 16, 1 << 31, (1 << 63) - 1, 1 << 64, -(1 << 70)]
_FLOATS = [0.0, -1.0, 1e-300, 1e300, float("inf"), float("nan")]
_TEXTS = ["", "box", "leaf", "dict", "call", "<f4", "__class__", "\ud800", "a\nb", "x" * 300]
_ARRAYS = [np.zeros(2), np.zeros((2, 2), np.uint8), np.zeros(0), np.array(3), np.zeros(4, "f4")]

leaves = st.one_of(
    st.sampled_from([None, True, False, b"", b"\0" * 9, (), [], {}, set()]),
    st.sampled_from(_NUMBERS),
    st.sampled_from(_FLOATS),
    st.sampled_from(_TEXTS),
    st.sampled_from(_ARRAYS),
    st.integers(-300, 300),
    st.text(max_size=5),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(0, 9)), inner, max_size=3),
    ),
    max_leaves=8,
)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, (list, tuple)) else []


@st.composite
def damaged(draw: Any, value: Any) -> Any:
    """The value with one place in it changed: replaced, left out, doubled or wrapped."""
    keys = _children(value)
    if not keys or draw(st.integers(0, 5)) == 0:
        match draw(st.integers(0, 3)):
            case 0:
                return [value]
            case 1:
                return (value, value)
            case _:
                return draw(values)
    key = draw(st.sampled_from(keys))
    change = draw(st.integers(0, 7))
    items = dict(value) if isinstance(value, dict) else list(value)
    if change == 0:
        del items[key]
    elif change == 1 and not isinstance(items, dict):
        items.insert(key, items[key])
    elif change == 1:
        items[draw(leaves.filter(_is_hashable))] = items[key]
    else:
        items[key] = draw(damaged(value[key]))
    return tuple(items) if isinstance(value, tuple) else items


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@st.composite
def damaged_bytes(draw: Any, data: bytes) -> bytes:
    """Bytes with some of them changed, left out or added, or cut off."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(found)))
        match draw(st.integers(0, 3)):
            case 0:
                found[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del found[at : at + draw(st.integers(1, 30))]
            case 2:
                found[at:at] = draw(st.binary(max_size=12))
            case _:
                del found[at:]
    return bytes(found)


@st.composite
def damaged_body(draw: Any, body: bytes) -> bytes:
    """The body of a frame, damaged as a value or as bytes."""
    if draw(st.booleans()):
        try:
            return codec.dumps(draw(damaged(codec.loads(body))))
        except EnvringError:  # not a value, or nothing that travels
            pass
    return draw(damaged_bytes(body))
