# SPDX-License-Identifier: MIT
"""Values of an env's own classes as plain data, which is all that another interpreter can read."""

from __future__ import absolute_import, division, print_function

import sys
from collections import OrderedDict, deque

import numpy as np

from ..text import as_text
from . import codec

_NUMBERS = (int, type(1 << 80), float, complex)  # and `long` in Python 2
_TEXTS = (str, type(u""), bytes)
_UNCHANGED = frozenset((type(None), bool) + _NUMBERS + (bytes,))
_RANGE = range if sys.version_info[0] > 2 else xrange  # noqa: F821


def plain(value, on_unsendable, depth):
    """Converts a value to types that the codec packs.

    Numbers, texts and containers of derived classes become those of the base: named tuples become
    tuples. Members of an Enum become their values, ranges and deques lists, dataclasses dicts,
    paths text.

    Args:
        value: of an info or a result.
        on_unsendable: what becomes of a value that has no such type. "raise": it stays as it is,
            so that the codec refuses it and names the place. "repr": its repr as text. "drop": the
            innermost dict that contains it loses that item.
        depth: containers around the value.
    """
    try:
        return _Conversion(on_unsendable).convert(value, depth)
    except _Dropped:  # there is no dict around it
        return value


class _Dropped(Exception):
    """The innermost dict around a value has to lose that item."""


class _Conversion(object):
    def __init__(self, on_unsendable):
        self._on_unsendable = on_unsendable
        self._room = codec.MAX_ITEMS
        self._around = set()  # ids of the containers around

    def convert(self, value, depth):
        kind = type(value)
        if kind in _UNCHANGED:
            return value
        if kind.__module__ == "numpy" and (kind is not np.ndarray or value.dtype.kind != "O"):
            return self._leaf(value)
        for base in _NUMBERS:
            if isinstance(value, base):
                return base.__pos__(value)
        for base in _TEXTS:
            if isinstance(value, base):
                return self._leaf(base.__getitem__(value, slice(None)))  # str() may be another
        if isinstance(value, _class("pathlib", "PurePath")):
            return str(value)
        if depth >= codec.MAX_DEPTH or id(value) in self._around:
            return self._refuse(value)
        self._around.add(id(value))
        try:
            if isinstance(value, _class("enum", "Enum")):
                return self.convert(value.value, depth + 1)
            return self._container(value, depth + 1)
        except _Dropped:
            raise
        except Exception:  # in the class's own code
            return self._refuse(value)
        finally:
            self._around.remove(id(value))

    def _container(self, value, depth):
        """Returns a container of plain items."""
        if isinstance(value, dict):
            base = OrderedDict if isinstance(value, OrderedDict) else dict
            return self._dict(value, value.items(), base, depth)
        if isinstance(value, np.ndarray):
            if value.dtype.kind != "O":  # a subclass, which may hold more than its elements
                return self._refuse(value)
            items = value.ravel().tolist()
            if not self._has_room(items):
                return self._refuse(value)
            return codec.array_of_objects(self._items(items, depth), value.shape)
        for base in (list, tuple, set, frozenset):
            if isinstance(value, base):
                break
        else:
            if hasattr(type(value), "__dataclass_fields__"):
                return self._dict(value, _fields(value), dict, depth)
            if not isinstance(value, (_RANGE, deque)):
                return self._refuse(value)
            base = list
        if not self._has_room(value):
            return self._refuse(value)
        if base in (list, tuple):
            return base(self._items(value, depth))
        out = base(self._key(item, depth) for item in value)
        return out if len(out) == len(value) else self._refuse(value)

    def _items(self, values, depth):
        return [self.convert(value, depth) for value in values]

    def _dict(self, value, items, base, depth):
        if not self._has_room(items):
            return self._refuse(value)
        out = base()
        kept = 0
        for key, item in items:
            try:
                key, item = self._key(key, depth), self.convert(item, depth)
            except _Dropped:
                continue
            out[key] = item
            kept += 1
        return out if len(out) == kept else self._refuse(value)  # else keys have become equal

    def _key(self, value, depth):
        """Returns a value as a key of a dict or an item of a set."""
        new = self.convert(value, depth)
        try:
            hash(new)
        except TypeError:
            return self._refuse(value)
        return new

    def _has_room(self, items):
        try:
            self._room -= len(items)
        except OverflowError:  # a range
            self._room = -1
        return self._room >= 0

    def _leaf(self, value):
        if self._on_unsendable != "raise":
            try:
                codec.pack(value)
            except codec.Unsendable:
                return self._refuse(value)
        return value

    def _refuse(self, value):
        if self._on_unsendable == "raise":
            return value
        if self._on_unsendable == "drop":
            raise _Dropped
        try:
            return as_text(repr(value))
        except Exception:
            return as_text(object.__repr__(value))


def _fields(value):
    """Returns names and values of a dataclass's fields."""
    names = [field.name for field in sys.modules["dataclasses"].fields(value)]
    return [(name, getattr(value, name)) for name in names if hasattr(value, name)]


def _class(module, name):
    """Returns a class of a module, or () where nobody has imported that: there is no such value."""
    return getattr(sys.modules.get(module), name, ())
