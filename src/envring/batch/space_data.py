# SPDX-License-Identifier: MIT
"""Spaces from the descriptions that workers in other interpreters send.

The data is untrusted: every type, length and number is looked at before Gymnasium sees it.
`envring_worker/envs/spaces.py` has the table of all spaces.
"""

from __future__ import annotations

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from gymnasium import Space, spaces

from envring.errors import SpaceDataError
from envring.transport.codec import matchable

MAX_DEPTH = 32  # spaces within each other
MAX_CHILDREN = 1 << 14  # of one space
MAX_ELEMENTS = 1 << 28  # of one array
MAX_TEXT = 1 << 24
MAX_NAME = 1000

_INT64 = np.iinfo(np.int64)
_KEYS = (str, bytes, int, float, bool, tuple)


class UnknownSpace(Space[Any]):
    """Stands for a space whose class only the env's interpreter has.

    Values arrive as they are and are not checked; samples can only be taken in that interpreter.

    Args:
        name: of the class.
    """

    def __init__(self, name: str) -> None:
        """Has neither shape nor dtype."""
        super().__init__(None, None)
        self.name = name

    def sample(self, mask: Any = None, probability: Any = None) -> NoReturn:
        """Refuses.

        Raises:
            SpaceDataError: always.
        """
        raise SpaceDataError(
            f"only the env's own interpreter can sample a {self.name}: call a method of the env"
        )

    def contains(self, x: Any) -> bool:
        """True: nothing is known here."""
        return True

    def __eq__(self, other: object) -> bool:
        """Whether it stands for the same class."""
        return isinstance(other, UnknownSpace) and other.name == self.name

    def __hash__(self) -> int:
        """By the name."""
        return hash((UnknownSpace, self.name))

    def __repr__(self) -> str:
        """Shows the name."""
        return f"UnknownSpace({self.name!r})"


def build_space(data: Any) -> Space[Any]:
    """The space that a worker describes.

    Args:
        data: what `describe_space` gave there, after it crossed.

    Returns:
        A Gymnasium space, equal to the worker's if that is one of Gymnasium.

    Raises:
        SpaceDataError: the data does not describe a space.
    """
    if _elements(data) > MAX_ELEMENTS:
        _refuse(f"arrays of more than {MAX_ELEMENTS} elements together", "spaces")
    return _build(data, 0)


def _elements(data: Any) -> int:
    """Elements of the arrays that spaces need, though their description is short."""
    match matchable(data):  # an array in the place of the kind must not be compared with text
        case (str() as kind, *_, tuple() as shape) if kind in ("box", "multi_binary"):
            return math.prod(size for size in shape if type(size) is int and size > 0)
        case tuple() | list():
            return sum(map(_elements, data))
    return 0


def restore_value(space: Space[Any], value: Any) -> Any:
    """A value of a space as Gymnasium has it: graphs, which travel as tuples, become graphs.

    Args:
        space: the space, or one that holds graphs somewhere.
        value: what arrived.

    Raises:
        SpaceDataError: the value is not a graph.
    """
    if isinstance(space, spaces.Graph):
        if not isinstance(value, tuple) or len(value) != 3:
            _refuse("a graph", value)
        return spaces.GraphInstance(*value)
    if isinstance(space, spaces.Dict) and isinstance(value, dict):
        known = space.spaces
        return type(value)(
            (key, restore_value(known[key], item) if key in known else item)
            for key, item in value.items()
        )
    if isinstance(space, spaces.Tuple) and isinstance(value, tuple):
        if len(value) == len(space.spaces):
            return tuple(map(restore_value, space.spaces, value))
    elif isinstance(space, spaces.Sequence) and isinstance(value, tuple):
        if not space.stack:
            return tuple(restore_value(space.feature_space, item) for item in value)
    elif isinstance(space, spaces.OneOf) and isinstance(value, tuple) and len(value) == 2:
        which, item = value
        if isinstance(which, (int, np.integer)) and 0 <= which < len(space.spaces):
            return which, restore_value(space.spaces[which], item)
    return value


def _refuse(what: str, data: Any) -> NoReturn:
    raise SpaceDataError(f"a worker described {what} by {data!r:.200}")


def _build(data: Any, depth: int) -> Space[Any]:
    if type(data) is not tuple or not data or type(data[0]) is not str:
        _refuse("a space", data)
    kind, *parts = data
    builder = _BUILDERS.get(kind)
    if builder is None or len(parts) != builder[0]:
        _refuse("a space", data)
    if depth > MAX_DEPTH:
        _refuse(f"spaces within each other to a depth of more than {MAX_DEPTH}", kind)
    try:
        return builder[1](depth + 1, *parts)
    except SpaceDataError:
        raise
    except Exception as error:
        raise SpaceDataError(
            f"a worker described a {kind} space that Gymnasium refuses: {error} ({data!r:.200})"
        ) from error


# -- parts ---------------------------------------------------------------------------------------


def _dtype(name: Any, kinds: str) -> np.dtype[Any]:
    if type(name) is not str or not 2 <= len(name) <= 4:
        _refuse("a dtype", name)
    try:
        dtype = np.dtype(name)
    except TypeError:
        _refuse("a dtype", name)
    if dtype.kind not in kinds or not dtype.isnative or dtype.subdtype is not None:
        _refuse("a dtype", name)
    return dtype


def _shape(shape: Any) -> tuple[int, ...]:
    if type(shape) is not tuple or len(shape) > 32:
        _refuse("a shape", shape)
    if not all(type(size) is int and 0 <= size <= MAX_ELEMENTS for size in shape):
        _refuse("a shape", shape)
    if math.prod(size for size in shape if size) > MAX_ELEMENTS:
        _refuse(f"a shape of more than {MAX_ELEMENTS} elements", shape)
    return shape


def _integer(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        _refuse(f"an integer from {low} to {high}", value)
    return value


def _array(value: Any, kinds: str) -> np.ndarray[Any, Any]:
    if type(value) is not np.ndarray or value.dtype.kind not in kinds:
        _refuse("an array", value)
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list or len(value) > MAX_CHILDREN:
        _refuse("the spaces in another one", value)
    return value


# -- kinds ---------------------------------------------------------------------------------------


def _bound(value: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    array = _array(value, "biuf")
    if dtype.kind == "i" and array.dtype.kind == "f" and not array.shape and np.isinf(array):
        return float(array)
    if array.dtype != dtype or array.shape not in (shape, ()):
        _refuse(f"a bound of dtype {dtype} and shape {shape}", value)
    return np.full(shape, array, dtype)


def _box(depth: int, low: Any, high: Any, dtype: Any, shape: Any) -> Space[Any]:
    of, sizes = _dtype(dtype, "biuf"), _shape(shape)
    return spaces.Box(_bound(low, of, sizes), _bound(high, of, sizes), sizes, of.type)


def _discrete(depth: int, n: Any, start: Any, dtype: Any) -> Space[Any]:
    of = _dtype(dtype, "iu")
    size = _integer(n, 1, _INT64.max)
    first = _integer(start, _INT64.min, _INT64.max)
    if of == np.int64 or not _DISCRETE_HAS_DTYPE:
        return spaces.Discrete(size, start=first)
    return spaces.Discrete(size, start=first, dtype=of.type)


_DISCRETE_HAS_DTYPE = "dtype" in inspect.signature(spaces.Discrete).parameters


def _multi_binary(depth: int, shape: Any) -> Space[Any]:
    sizes = _shape(shape)
    return spaces.MultiBinary(sizes[0] if len(sizes) == 1 else sizes)


def _multi_discrete(depth: int, nvec: Any, start: Any, dtype: Any) -> Space[Any]:
    of = _dtype(dtype, "iu")
    first = None if start is None else _array(start, "iu")
    return spaces.MultiDiscrete(_array(nvec, "iu"), of.type, start=first)


def _text(depth: int, shortest: Any, longest: Any, characters: Any) -> Space[Any]:
    if type(characters) is not str:
        _refuse("the characters of a text", characters)
    least = _integer(shortest, 0, MAX_TEXT)
    return spaces.Text(_integer(longest, least, MAX_TEXT), min_length=least, charset=characters)


def _tuple(depth: int, children: Any) -> Space[Any]:
    return spaces.Tuple([_build(child, depth) for child in _list(children)])


def _one_of(depth: int, children: Any) -> Space[Any]:
    return spaces.OneOf([_build(child, depth) for child in _list(children)])


def _dict(depth: int, items: Any) -> Space[Any]:
    built: OrderedDict[Any, Space[Any]] = OrderedDict()  # a dict would be sorted
    for item in _list(items):
        if type(item) is not tuple or len(item) != 2 or type(item[0]) not in _KEYS:
            _refuse("an item of a dict", item)
        if item[0] in built:
            _refuse("a dict with a key twice", item[0])
        built[item[0]] = _build(item[1], depth)
    return spaces.Dict(built)


def _sequence(depth: int, child: Any, stack: Any) -> Space[Any]:
    if type(stack) is not bool:
        _refuse("whether a sequence is stacked", stack)
    return spaces.Sequence(_build(child, depth), stack=stack)


def _graph(depth: int, nodes: Any, edges: Any) -> Space[Any]:
    return spaces.Graph(_build(nodes, depth), None if edges is None else _build(edges, depth))


def _other(depth: int, name: Any) -> Space[Any]:
    if type(name) is not str or not 0 < len(name) <= MAX_NAME:
        _refuse("a space of its own", name)
    return UnknownSpace(name)


_BUILDERS: dict[str, tuple[int, Callable[..., Space[Any]]]] = {
    "box": (4, _box),
    "discrete": (3, _discrete),
    "multi_binary": (1, _multi_binary),
    "multi_discrete": (3, _multi_discrete),
    "text": (3, _text),
    "tuple": (1, _tuple),
    "one_of": (1, _one_of),
    "dict": (1, _dict),
    "sequence": (2, _sequence),
    "graph": (2, _graph),
    "other": (1, _other),
}
