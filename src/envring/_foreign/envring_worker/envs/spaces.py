# SPDX-License-Identifier: MIT
"""Spaces as plain data, recognised by their classes' names: of gym, gymnasium or other packages.

=====================================================  ============================================
`("box", low, high, dtype, shape)`                     bounds: arrays of that shape, or of shape ()
                                                       if all elements are the same; a float
                                                       infinity if integers have no bound
`("discrete", n, start, dtype)`
`("multi_binary", shape)`
`("multi_discrete", nvec, start or None, dtype)`       arrays
`("text", min_length, max_length, characters)`
`("tuple", [data, ...])`                               also `"one_of"`
`("dict", [(key, data), ...])`                         in the space's own order
`("sequence", data, stacked)`
`("graph", node data, edge data or None)`
`("other", name of its class)`                         a custom space; its values are sent unchanged
=====================================================  ============================================

A dtype is numpy's string for it, in native byte order.
"""

from __future__ import absolute_import, division, print_function

import inspect

import numpy as np

MAX_DEPTH = 32  #: nested spaces

_ABSTRACT = ("typing", "collections", "collections.abc", "_collections_abc", "_abcoll")
_TEXT = type(u"")


class SpaceError(ValueError):
    """A space cannot be described.

    Attributes:
        path: where it is within the outermost space, "['a'][0]".
        reason: why it cannot be described.
    """

    def __init__(self, path, reason):
        ValueError.__init__(self, path, reason)
        self.path = "".join("[%r]" % (step,) for step in path)
        self.reason = reason

    def __str__(self):
        return "space%s: %s" % (self.path, self.reason)


def kind_of(space):
    """Returns the kind of a space: a first item in the table above, or None."""
    for cls in inspect.getmro(space.__class__):  # Python 2 has classes without __mro__
        # `collections.abc.Sequence` is not a space, `gymnasium.spaces.Sequence` is
        if cls.__module__ not in _ABSTRACT and cls.__name__ in _KINDS:
            return _KINDS[cls.__name__]
    return None


def describe_space(space, path=()):
    """Returns a space as data.

    Args:
        space: the space.
        path: keys and indices that lead to it, for errors.

    Raises:
        SpaceError: its kind cannot be described, or it lacks an attribute of its kind.
    """
    kind = kind_of(space)
    if kind is None:
        if space is None:
            raise SpaceError(path, "the env does not define it (it is None)")
        name = "%s.%s" % (type(space).__module__, type(space).__name__)
        if callable(getattr(space, "sample", None)) and callable(getattr(space, "contains", None)):
            return ("other", name)
        raise SpaceError(path, "a %s is not a space: it has no sample() or no contains()" % name)
    if len(path) > MAX_DEPTH:
        raise SpaceError(path[:4], "spaces are nested deeper than %d levels" % MAX_DEPTH)
    try:
        return _DESCRIBE[kind](space, path)
    except SpaceError:
        raise
    except Exception as error:
        raise SpaceError(
            path,
            "%.200r of %s.%s is not a valid %s: %s: %s"
            % (
                space,
                type(space).__module__,
                type(space).__name__,
                type(space).__name__,
                type(error).__name__,
                error,
            ),
        )


# -- kinds ---------------------------------------------------------------------------------------


def _native(dtype):
    return np.dtype(dtype).newbyteorder("=")


def _dtype_of(space, default, kinds, path):
    dtype = getattr(space, "dtype", None)
    dtype = _native(default if dtype is None else dtype)
    if dtype.kind not in kinds:
        raise SpaceError(path, "a space of its kind cannot have its dtype %s" % (dtype,))
    return dtype


def _integer(value):
    if int(value) != value:
        raise ValueError("%r is not an integer" % (value,))
    return int(value)


def _box(space, path):
    low, high = np.asarray(space.low), np.asarray(space.high)
    shape = getattr(space, "shape", None)
    shape = tuple(_integer(n) for n in (low.shape if shape is None else shape))
    dtype = _dtype_of(space, _undeclared_dtype(low, high), "biuf", path)
    if dtype.kind == "i" and low.size:
        low = _unbounded(low, getattr(space, "bounded_below", None), -np.inf)
        high = _unbounded(high, getattr(space, "bounded_above", None), np.inf)
    return ("box", _bounds(low, shape, dtype), _bounds(high, shape, dtype), dtype.str, shape)


def _undeclared_dtype(low, high):
    """Returns the dtype of a Box of gym 0.9.6 and before, which has none and samples floats.

    Images are recognised as in gym 0.9.7. Other Boxes, float32 since 0.9.7, keep their dtype.
    """
    if high.size and (high == 255).all() and (low == 0).all():
        return np.uint8
    return low.dtype if low.dtype.kind == "f" else np.float64


def _unbounded(bound, bounded, infinity):
    """Returns infinity if integers have no bound, whatever number the space stores for it."""
    if bounded is None:
        unbounded = (bound == infinity).all() if bound.dtype.kind == "f" else False
    else:
        unbounded = not np.any(bounded)
    return np.array(infinity) if unbounded else bound


def _bounds(bound, shape, dtype):
    """Returns a bound as an array of the space's shape and dtype, or of shape () if uniform."""
    if bound.dtype != dtype:
        if dtype.kind in "iu" and bound.dtype.kind in "iuf":
            if dtype.kind == "i" and not bound.shape and np.isinf(bound):
                return bound
            bound = _clipped(bound, dtype)
        else:
            bound = bound.astype(dtype)
    if bound.shape not in (shape, ()):
        bound = np.broadcast_to(bound, shape)
    bound = np.array(bound, dtype, order="C")
    if bound.size > 1:
        first = np.array(bound.flat[0], dtype)
        if first.tobytes() * bound.size == bound.tobytes():  # also tells 0.0 from -0.0
            return first
    return bound


def _clipped(bound, dtype):
    """Returns a bound as integers, clipped to the dtype's range."""
    limits = np.iinfo(dtype)
    flat = [
        limits.min if value <= limits.min else limits.max if value >= limits.max else int(value)
        for value in bound.ravel().tolist()
    ]
    return np.array(flat, dtype).reshape(bound.shape)


def _discrete(space, path):
    dtype = _dtype_of(space, np.int64, "iu", path)
    return ("discrete", _integer(space.n), _integer(getattr(space, "start", 0)), dtype.str)


def _multi_binary(space, path):
    n = space.n
    shape = (n,) if np.ndim(n) == 0 else n
    return ("multi_binary", tuple(_integer(size) for size in shape))


def _multi_discrete(space, path):
    if hasattr(space, "nvec"):
        nvec = np.asarray(space.nvec)
        start = getattr(space, "start", None)
        start = np.zeros_like(nvec) if start is None else np.asarray(start)
    else:  # gym 0.9.6 and before
        start = np.asarray(space.low)
        nvec = np.asarray(space.high) - start + 1
    if nvec.dtype.kind not in "iu" or start.dtype.kind not in "iu":
        raise SpaceError(path, "its nvec is of dtype %s" % (nvec.dtype,))
    nvec, start = nvec.astype(np.int64), start.astype(np.int64)
    dtype = _dtype_of(space, np.int64, "iu", path)
    if nvec.size and int((nvec + start).max()) > np.iinfo(dtype).max:
        dtype = np.dtype(np.int64)  # gym up to 0.11 declares int8 for any nvec
    return ("multi_discrete", nvec, start if start.any() else None, dtype.str)


def _text(space, path):
    characters = getattr(space, "character_list", None)  # in the order that sampling uses
    if characters is None:
        characters = sorted(space.character_set)
    characters = u"".join(characters)
    return ("text", _integer(space.min_length), _integer(space.max_length), characters)


def _children(name):
    def describe(space, path):
        spaces = enumerate(space.spaces)
        return (name, [describe_space(child, path + (i,)) for i, child in spaces])

    return describe


def _dict(space, path):
    items = []
    for key, child in space.spaces.items():
        if type(key) not in (str, _TEXT, int, bytes, float, bool, tuple):
            raise SpaceError(path, "its key %.60r cannot be sent to another interpreter" % (key,))
        items.append((key, describe_space(child, path + (key,))))
    return ("dict", items)


def _sequence(space, path):
    child = describe_space(space.feature_space, path + ("...",))
    return ("sequence", child, bool(getattr(space, "stack", False)))


def _graph(space, path):
    edges = space.edge_space
    return (
        "graph",
        describe_space(space.node_space, path + ("nodes",)),
        None if edges is None else describe_space(edges, path + ("edges",)),
    )


_KINDS = {
    "Box": "box",
    "Discrete": "discrete",
    "MultiBinary": "multi_binary",
    "MultiDiscrete": "multi_discrete",
    "Text": "text",
    "Tuple": "tuple",
    "Dict": "dict",
    "Sequence": "sequence",
    "Graph": "graph",
    "OneOf": "one_of",
}
_DESCRIBE = {
    "box": _box,
    "discrete": _discrete,
    "multi_binary": _multi_binary,
    "multi_discrete": _multi_discrete,
    "text": _text,
    "tuple": _children("tuple"),
    "dict": _dict,
    "sequence": _sequence,
    "graph": _graph,
    "one_of": _children("one_of"),
}


# -- values --------------------------------------------------------------------------------------


def value_to_data(space, value):
    """Returns a value of a space as data for the codec.

    LazyFrames become arrays and graphs `(nodes, edges, edge_links)`; other values stay as they
    are.
    """
    kind = kind_of(space)
    if kind == "dict" and isinstance(value, dict):
        return type(value)(
            (key, value_to_data(space.spaces[key], item) if key in space.spaces else item)
            for key, item in value.items()
        )
    if kind == "tuple" and isinstance(value, (tuple, list)):
        spaces = tuple(space.spaces)
        if len(value) == len(spaces):
            return tuple(value_to_data(child, item) for child, item in zip(spaces, value))
    elif kind == "graph" and isinstance(value, tuple):
        return tuple(value)
    elif kind == "sequence" and not getattr(space, "stack", False):
        return tuple(value_to_data(space.feature_space, item) for item in value)
    elif kind == "one_of" and isinstance(value, tuple) and len(value) == 2:
        return (value[0], value_to_data(tuple(space.spaces)[int(value[0])], value[1]))
    elif kind == "box" and not isinstance(value, (np.ndarray, np.generic, list, int, float)):
        return np.asarray(value)
    return value
