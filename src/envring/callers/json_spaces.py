# SPDX-License-Identifier: MIT
"""Spaces of JSON schemas: what other projects' servers say of their actions and observations.

Numbers with both bounds become Discrete or Box, arrays of a fixed length Box; what a schema leaves
open (text, lists of any length, optional fields) is an `UnknownSpace`: values arrive as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np
from gymnasium import spaces

from envring.batch.space_data import MAX_ELEMENTS, UnknownSpace
from envring.errors import SpaceDataError, WireError
from envring.gateways.web import spaces as json_values

_MOST_VALUES = 1 << 31
_DEEPEST = 8


def space_of(schema: Any) -> spaces.Space[Any]:
    """The space that is nearest to a schema.

    Raises:
        SpaceDataError: there is none: the bounds contradict each other, for example.
    """
    try:
        return _space_of(schema)
    except (ValueError, AssertionError, TypeError, OverflowError) as error:
        raise SpaceDataError(f"a schema is not a space: {str(error)[:300]}") from None


def _space_of(schema: Any) -> spaces.Space[Any]:
    lengths: list[int] = []
    item = schema
    while isinstance(item, dict) and item.get("type") == "array" and len(lengths) < _DEEPEST:
        length = item.get("minItems")
        if type(length) is not int or length < 0 or item.get("maxItems") != length:
            break
        lengths.append(length)
        item = item.get("items")
    kind = item.get("type") if isinstance(item, dict) else None
    if prod(lengths) > MAX_ELEMENTS:
        return UnknownSpace("array")
    if kind == "boolean":
        return spaces.Box(0, 1, tuple(lengths), np.bool_) if lengths else spaces.Discrete(2)
    if kind not in ("integer", "number"):
        name = schema.get("type", "value") if isinstance(schema, dict) else "value"
        return UnknownSpace(str(name)[:60])
    low, high = _limit(item, "minimum"), _limit(item, "maximum")
    if kind == "number":
        return spaces.Box(
            -np.inf if low is None else low,
            np.inf if high is None else high,
            tuple(lengths),
            np.float64,
        )
    if low is not None and high is not None and not lengths and 0 <= high - low < _MOST_VALUES:
        return spaces.Discrete(int(high - low) + 1, start=int(low))
    whole = np.iinfo(np.int64)
    least = whole.min if low is None else max(int(low), whole.min)
    most = whole.max if high is None else min(int(high), whole.max)
    return spaces.Box(least, most, tuple(lengths), np.int64)


def _limit(schema: dict[str, Any], name: str) -> float | None:
    found = schema.get(name)
    return found if isinstance(found, int | float) and abs(found) < 1e18 else None


def dict_of(schema: Any, names: Iterable[str]) -> spaces.Dict:
    """A Dict of some of an object's properties."""
    properties = schema.get("properties", {})
    return spaces.Dict({name: space_of(properties[name]) for name in names})


def decode(space: spaces.Space[Any], data: Any) -> Any:
    """The value of a space that JSON says.

    Raises:
        WireError: it is not one.
    """
    if isinstance(space, UnknownSpace):
        return data
    if isinstance(space, spaces.Discrete) and type(data) is bool:
        data = int(data)
    if isinstance(space, spaces.Dict) and isinstance(data, dict):
        missing = sorted(map(str, space.spaces.keys() - data.keys()))
        if missing:
            raise WireError(f"it lacks {missing[0]!r:.60}")
        return {name: decode(child, data[name]) for name, child in space.items()}
    try:
        return json_values.decode(space, data)
    except ValueError as error:
        raise WireError(str(error)) from None


def encode(space: spaces.Space[Any], value: Any) -> Any:
    """A value of a space as `json_text.dumps` writes it."""
    if isinstance(space, UnknownSpace):
        return value
    if isinstance(space, spaces.Dict) and isinstance(value, dict):
        return {name: encode(child, value[name]) for name, child in space.items()}
    return json_values.encode(space, value)
