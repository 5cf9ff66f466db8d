# SPDX-License-Identifier: MIT
"""JSON schemas of what `spaces.encode` makes."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Space,
    Text,
    Tuple,
)

_KINDS = {"f": "number", "b": "boolean", "i": "integer", "u": "integer"}

EXACT = "x-envring-spaces"
"""Beside the schemas of an env: both spaces exactly, for this project's clients."""

Schema = dict[str, Any]


def schema(space: Space[Any]) -> Schema:
    """The JSON schema of a space's values; its description is the space as Gymnasium prints it."""
    return {**_schema(space), "description": str(space)[:1000]}


def _schema(space: Space[Any]) -> Schema:
    match space:
        case Discrete():
            start, count = int(space.start), int(space.n)
            return {"type": "integer", "minimum": start, "maximum": start + count - 1}
        case Box():
            bounds = _bounds(space.low, space.high) if space.dtype.kind != "b" else {}
            return _lists(space.shape, {"type": _KINDS[space.dtype.kind], **bounds})
        case MultiBinary():
            return _lists(space.shape, {"type": "integer", "minimum": 0, "maximum": 1})
        case MultiDiscrete():
            high = space.start + space.nvec - 1
            return _lists(space.shape, {"type": "integer", **_bounds(space.start, high)})
        case Text():
            return {
                "type": "string",
                "minLength": space.min_length,
                "maxLength": space.max_length,
            }
        case Dict():
            return objects({key: schema(child) for key, child in space.items()})
        case Tuple():
            return _tuple([schema(child) for child in space.spaces])
        case Sequence():
            return {"type": "array", "items": schema(space.feature_space)}
        case OneOf():
            pairs = [
                _tuple([{"const": index}, schema(child)])
                for index, child in enumerate(space.spaces)
            ]
            return {"oneOf": pairs}
        case Graph():
            return _graph(space)
    return {}


def objects(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    """The schema of objects with these properties and no others."""
    required = [key for key in properties if key not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _tuple(items: list[Schema]) -> Schema:
    return {
        "type": "array",
        "prefixItems": items,
        "minItems": len(items),
        "maxItems": len(items),
    }


def _lists(shape: tuple[int, ...], item: Schema) -> Schema:
    for length in reversed(shape):
        item = {"type": "array", "items": item, "minItems": length, "maxItems": length}
    return item


def _bounds(low: Any, high: Any) -> Schema:
    """The bounds of all numbers together, where there are any."""
    found: Schema = {}
    if np.size(low) and np.isfinite(low).all():
        found["minimum"] = np.min(low).item()
    if np.size(high) and np.isfinite(high).all():
        found["maximum"] = np.max(high).item()
    return found


def _graph(space: Graph) -> Schema:
    properties = {"nodes": {"type": "array", "items": schema(space.node_space)}}
    for key, item in (
        ("edges", {} if space.edge_space is None else schema(space.edge_space)),
        ("edge_links", _lists((2,), {"type": "integer", "minimum": 0})),
    ):
        properties[key] = {"type": ["array", "null"], "items": item}
    return objects(properties, ("edges", "edge_links"))
