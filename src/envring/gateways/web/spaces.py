# SPDX-License-Identifier: MIT
"""Values of spaces as JSON, and back. What JSON cannot carry exactly is refused.

| space | JSON |
|---|---|
| Box, MultiBinary, MultiDiscrete | lists in lists by the shape; a number without axes |
| Discrete | the integer, `start` included |
| Text | text |
| Dict | an object; its keys must be text |
| Tuple, Sequence | a list |
| Graph | `{"nodes": [...], "edges": [...] or null, "edge_links": [[from, to], ...] or null}` |
| OneOf | `[index of the space, value]` |
| others | refused |
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import numpy as np
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    GraphInstance,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Space,
    Text,
    Tuple,
)
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

from envring.gateways.web.json_text import array

_EXACT = 1 << 53  # integers below are exact as floats; from here on a text may have said another
_NOT_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


class NotCarried(ValueError):
    """A space whose values JSON cannot say."""


class BadValue(ValueError):
    """A value from a caller that does not belong to the space.

    Attributes:
        path: where it is wrong: keys and indices.
    """

    def __init__(self, text: str, path: tuple[str | int, ...] = ()) -> None:
        """Keeps the path beside the text."""
        super().__init__(text)
        self.path = path


def check(space: Space[Any]) -> None:
    """Refuses a space that cannot be carried.

    Raises:
        NotCarried: it is, or has in it, one of another kind.
    """
    match space:
        case Box() | MultiBinary() | MultiDiscrete() | Discrete() | Text():
            pass
        case Dict():
            for key, child in space.items():
                if not isinstance(key, str):
                    raise NotCarried(f"JSON cannot carry {space}: its key {key!r} is not text.")
                check(child)
        case Tuple() | OneOf():
            for child in space.spaces:
                check(child)
        case Sequence():
            check(space.feature_space)
        case Graph():
            check(space.node_space)
            if space.edge_space is not None:
                check(space.edge_space)
        case _:
            raise NotCarried(f"JSON cannot carry values of {type(space).__name__} spaces.")


def encode(space: Space[Any], value: Any) -> Any:
    """A value of a space as what `json_text.dumps` writes.

    Raises:
        NotCarried: the space is of another kind.
    """
    match space:
        case Box() | MultiBinary() | MultiDiscrete():
            return array(value)
        case Discrete():
            return int(value)
        case Text():
            return str(value)
        case Dict():
            return {key: encode(child, value[key]) for key, child in space.items()}
        case Tuple():
            return [encode(child, each) for child, each in zip(space.spaces, value, strict=True)]
        case Sequence():
            items = iterate(space.stacked_feature_space, value) if space.stack else value
            return [encode(space.feature_space, item) for item in items]
        case OneOf():
            return [int(value[0]), encode(space.spaces[value[0]], value[1])]
        case Graph():
            return {
                "nodes": _each(space.node_space, value.nodes),
                "edges": None if value.edges is None else _each(space.edge_space, value.edges),
                "edge_links": None if value.edge_links is None else array(value.edge_links),
            }
    raise NotCarried(f"JSON cannot carry values of {type(space).__name__} spaces.")


def _each(space: Space[Any] | None, values: Any) -> list[Any]:
    assert space is not None
    return [encode(space, each) for each in values]


def decode(space: Space[Any], data: Any, path: tuple[str | int, ...] = ()) -> Any:
    """The value of a space that JSON says. Numbers of a Box may lie outside its bounds.

    Raises:
        BadValue: it is not one.
        NotCarried: the space is of another kind.
    """
    match space:
        case Box():
            return _array(space, data, path)
        case MultiBinary() | MultiDiscrete():
            return _member(space, _array(space, data, path), path)
        case Discrete():
            number = _integer(data, path)
            if not space.start <= number < space.start + space.n:
                raise BadValue(f"{number!r:.200} is not in {space!s:.200}", path)
            return number
        case Text():
            return _member(space, data, path)
        case Dict():
            return _decode_dict(space, data, path)
        case Tuple():
            items = _items(data, len(space.spaces), path)
            return tuple(
                decode(child, each, (*path, index))
                for index, (child, each) in enumerate(zip(space.spaces, items, strict=True))
            )
        case Sequence():
            values = [
                decode(space.feature_space, each, (*path, index))
                for index, each in enumerate(_items(data, None, path))
            ]
            return _stacked(space.feature_space, values) if space.stack else tuple(values)
        case OneOf():
            index, value = _items(data, 2, path)
            index = _integer(index, (*path, 0))
            if not 0 <= index < len(space.spaces):
                raise BadValue(f"there is no space {index} in {space}", (*path, 0))
            return np.int64(index), decode(space.spaces[index], value, (*path, 1))
        case Graph():
            return _decode_graph(space, data, path)
    raise NotCarried(f"JSON cannot carry values of {type(space).__name__} spaces.")


def _member(space: Space[Any], value: Any, path: tuple[str | int, ...]) -> Any:
    if not space.contains(value):
        raise BadValue(f"{value!r:.200} is not in {space!s:.200}", path)
    return value


def _integer(data: Any, path: tuple[str | int, ...]) -> int:
    if _is_whole(data):
        return int(data)  # languages that have no integers
    if type(data) is not int or not -(1 << 63) <= data < 1 << 63:
        raise BadValue(f"{data!r:.200} is not an integer", path)
    return data


def seed_of(data: Any) -> int | None:
    """A seed from a caller, None for none.

    Raises:
        BadValue: it is not an integer from 0 on; 2.0 is one, for languages that have no others.
    """
    if data is None:
        return None
    found: int = int(data) if _is_whole(data) else data
    if type(found) is not int or found < 0:
        raise BadValue("a seed is an integer from 0 on")
    return found


def _is_whole(data: Any) -> bool:
    """Whether a float is an integer, and the one that was meant."""
    return type(data) is float and data.is_integer() and abs(data) < _EXACT


def _items(data: Any, count: int | None, path: tuple[str | int, ...]) -> list[Any]:
    if not isinstance(data, list) or (count is not None and len(data) != count):
        raise BadValue(f"expected a list{'' if count is None else f' of {count} items'}", path)
    return data


def _array(space: Any, data: Any, path: tuple[str | int, ...]) -> Any:
    shape, dtype = space.shape, space.dtype
    numbers = [data]
    for length in shape:
        if not all(type(each) is list and len(each) == length for each in numbers):
            raise BadValue(f"expected lists of shape {list(shape)}", path)
        numbers = list(chain.from_iterable(numbers))
    kinds = set(map(type, numbers))
    if str in kinds and dtype.kind == "f":
        numbers = [_NOT_FINITE.get(each, each) if type(each) is str else each for each in numbers]
        kinds = set(map(type, numbers))
    if not kinds <= ({int, float} if dtype.kind == "f" else {int, float, bool}):
        raise BadValue(f"expected numbers of {dtype}", path)
    given = np.array(numbers)  # of other things than numbers it might take long
    if given.size == 0:
        return given.astype(dtype).reshape(shape)
    if dtype.kind == "f":
        return _floats(given, dtype, path).reshape(shape)
    if given.dtype.kind not in "biu":  # there are floats, or NumPy has no integers for them all
        given = np.array(_integers(numbers, path), object)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not (low <= given.min() and given.max() <= high):
        raise BadValue(f"a number does not fit into {dtype}", path)
    return given.astype(dtype).reshape(shape)


def _integers(numbers: list[Any], path: tuple[str | int, ...]) -> list[int]:
    for each in numbers:
        if type(each) is float and not _is_whole(each):
            raise BadValue("expected integers", path)
    return list(map(int, numbers))


def _floats(given: Any, dtype: Any, path: tuple[str | int, ...]) -> Any:
    try:
        wide = given.astype(np.float64)
    except OverflowError:  # an integer of more than 1000 bits
        raise BadValue(f"a number does not fit into {dtype}", path) from None
    with np.errstate(over="ignore"):
        made = wide.astype(dtype)
    if not np.array_equal(np.isfinite(wide), np.isfinite(made)):
        raise BadValue(f"a number does not fit into {dtype}", path)
    return made


def _decode_dict(space: Dict, data: Any, path: tuple[str | int, ...]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise BadValue("expected an object", path)
    for key in data:
        if key not in space.spaces:
            raise BadValue(f"there is no {key!r:.100} in the space", (*path, key))
    for key in space:
        if key not in data:
            raise BadValue("is missing", (*path, key))
    return {key: decode(child, data[key], (*path, key)) for key, child in space.items()}


def _stacked(space: Space[Any], items: list[Any]) -> Any:
    rows: Any = create_empty_array(space, len(items))
    return concatenate(space, items, rows) if items else rows


def _decode_graph(space: Graph, data: Any, path: tuple[str | int, ...]) -> GraphInstance:
    if not isinstance(data, dict) or not {"nodes"} <= data.keys() <= {
        "nodes",
        "edges",
        "edge_links",
    }:
        raise BadValue("expected an object with nodes, edges and edge_links", path)
    nodes = _decode_all(space.node_space, data["nodes"], (*path, "nodes"))
    edges, links = data.get("edges"), data.get("edge_links")
    if edges is None and links is None:
        return GraphInstance(nodes, None, None)
    if space.edge_space is None:
        raise BadValue("this graph has no edges", (*path, "edges"))
    made = _decode_all(space.edge_space, edges, (*path, "edges"))
    if edges and not data["nodes"]:
        raise BadValue("there are edges, but no nodes", (*path, "edges"))
    last = max(len(data["nodes"]) - 1, 0)
    pairs: Box = Box(0, last, (len(edges or ()), 2), np.dtype(np.int32))
    ends = _member(pairs, _array(pairs, links, (*path, "edge_links")), (*path, "edge_links"))
    return GraphInstance(nodes, made, ends)


def _decode_all(space: Space[Any], data: Any, path: tuple[str | int, ...]) -> Any:
    items = [decode(space, each, (*path, n)) for n, each in enumerate(_items(data, None, path))]
    return _stacked(space, items)
