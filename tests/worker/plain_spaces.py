# SPDX-License-Identifier: MIT
"""Stand-ins for the spaces of gym and gymnasium, as old and new versions have them."""

from collections import OrderedDict

import numpy as np


class Space(object):
    shape = dtype = None


class Box(Space):
    def __init__(self, low, high, shape=None, dtype=np.float32):
        self.low = low if shape is None else np.full(shape, low, dtype)
        self.high = high if shape is None else np.full(shape, high, dtype)
        self.shape = np.shape(self.low)
        if dtype is not None:
            self.dtype = np.dtype(dtype)

    def contains(self, x):
        return np.shape(x) == self.shape


class Discrete(Space):
    def __init__(self, n, start=None):
        self.n = n
        if start is not None:
            self.start = start

    def contains(self, x):
        return isinstance(x, (int, np.integer)) and 0 <= x < self.n


class MultiBinary(Space):
    def __init__(self, n):
        self.n = n


class MultiDiscrete(Space):
    def __init__(self, nvec, dtype=np.int64, start=None):
        self.nvec = np.asarray(nvec)
        self.dtype = np.dtype(dtype)
        if start is not None:
            self.start = np.asarray(start)


class Text(Space):
    def __init__(self, max_length, min_length=1, charset=u"abc"):
        self.min_length, self.max_length = min_length, max_length
        self.character_set = frozenset(charset)


class Tuple(Space):
    def __init__(self, spaces):
        self.spaces = spaces

    def contains(self, x):
        return (
            isinstance(x, tuple)
            and len(x) == len(self.spaces)
            and all(space.contains(item) for space, item in zip(self.spaces, x))
        )


class OneOf(Tuple):
    pass


class Dict(Space):
    def __init__(self, spaces):
        self.spaces = OrderedDict(spaces)

    def contains(self, x):
        return isinstance(x, dict) and set(x) == set(self.spaces)


class Sequence(Space):
    def __init__(self, feature_space, stack=False):
        self.feature_space = feature_space
        self.stack = stack


class Graph(Space):
    def __init__(self, node_space, edge_space):
        self.node_space, self.edge_space = node_space, edge_space
