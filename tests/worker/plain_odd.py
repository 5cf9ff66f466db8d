# SPDX-License-Identifier: MIT
"""Envs that do whatever an env may do, and some that it may not."""

from __future__ import absolute_import, division, print_function

import random

import numpy as np


class Trouble(Exception):
    pass


class Flag(object):
    """Says yes or no in its own way."""

    def __init__(self, value):
        self.value = value

    def __bool__(self):
        if self.value is None:
            raise Trouble("neither")
        return self.value

    __nonzero__ = __bool__

    def __repr__(self):
        return "Flag(%r)" % (self.value,)


class Text(str):
    pass


class Array(np.ndarray):
    pass


class Dict(dict):
    pass


def leaf_values(dtype, shape):
    """Observations for a leaf: what goes fast, what goes slowly, what does not go."""
    dtype = np.dtype(dtype)

    def fresh(r):
        values = [r.randrange(100) for _ in range(int(np.prod(shape, dtype=np.int64)))]
        return np.array(values, dtype).reshape(shape)

    kinds = [
        fresh,
        fresh,
        fresh,
        lambda r: np.asfortranarray(fresh(r)),
        lambda r: fresh(r).view(Array),
        lambda r: fresh(r).astype(dtype.newbyteorder()),
        lambda r: fresh(r).astype(np.float32 if dtype.kind == "f" else np.uint8),
        lambda r: fresh(r).tolist(),
        lambda r: np.zeros(shape + (1,), dtype),
        lambda r: None,
    ]
    if not shape:
        kinds += [
            lambda r: fresh(r)[()],
            lambda r: r.randrange(100),
            lambda r: r.randrange(-(1 << 80), 1 << 80),
            lambda r: r.choice([-129, -128, 127, 128, 255, 256, -1, 1 << 31]),
            lambda r: r.choice([(1 << 63) - 1, 1 << 63, -(1 << 63)]),
            lambda r: r.random(),
            lambda r: r.choice([True, False]),
            lambda r: r.choice([float("nan"), float("inf"), 1e300]),
        ]
    return kinds


def obs_of(plan, r, oddness):
    if plan[0] == "dict":
        items = [(key, obs_of(child, r, oddness)) for key, child in plan[1]]
        if r.random() < oddness:
            return r.choice([Dict(items), dict(items[:-1]), dict(items, more=1), items])
        return dict(items)
    if plan[0] == "tuple":
        items = [obs_of(child, r, oddness) for child in plan[1]]
        if r.random() < oddness:
            return r.choice([items, tuple(items[:-1]), None])
        return tuple(items)
    if plan[0] == "dynamic":
        return r.choice(["text", [1, 2]])
    kinds = leaf_values(plan[2], plan[3])
    return (r.choice(kinds) if r.random() < oddness else kinds[0])(r)


def reward_of(r, oddness):
    if r.random() >= oddness:
        return r.choice([1.0, 0.5, -0.0, 3])
    return r.choice(
        [
            float("nan"),
            1 << 60,
            1 << 70,
            -(1 << 500),
            True,
            np.float32(0.1),
            np.float64(0.1),
            np.int8(-3),
            np.array(2.5),
            np.array([1.0]),
            "no number",
            None,
        ]
    )


def flag_of(r, oddness):
    if r.random() >= oddness:
        return r.random() < 0.2
    return r.choice(
        [np.True_, np.False_, 0, 1, np.int64(1), "", "x", None, [], Flag(True), Flag(False)]
        + [Flag(None), np.array(True), np.zeros(2)]
    )


def info_of(r, oddness, names):
    """Mostly one of a few shapes, with values that may not fit."""
    if r.random() < 0.3:
        return {}
    values = {
        "float": lambda: r.choice([0.5, float("nan")]),
        "int": lambda: r.choice([1, -(1 << 63), (1 << 63) - 1]),
        "bool": lambda: r.choice([True, False]),
        "np": lambda: np.float32(r.random()),
        "wide": lambda: np.uint64(r.randrange(1 << 63)),
        "array": lambda: np.arange(6, dtype=np.int16).reshape(2, 3) * r.randrange(9),
        "text": lambda: r.choice(["a", "b"]),
        "deep": lambda: {"x": r.random(), "more": {"y": r.randrange(9)}},
    }
    odd = {
        "float": lambda: r.choice([1, np.float64(1), None, Text("t")]),
        "int": lambda: r.choice([1 << 63, -(1 << 64), True, 1.0]),
        "bool": lambda: r.choice([np.True_, 1]),
        "np": lambda: r.choice([np.float64(1), np.array(1, np.float32)]),
        "array": lambda: r.choice(
            [np.zeros((2, 3)), np.zeros(3, np.int16), np.zeros((3, 2), np.int16).T]
        ),
        "deep": lambda: r.choice([{}, {"x": 1.0, "more": Dict()}, {"x": 1, "more": {"y": 2}}]),
    }
    info = {}
    for name in names:
        made = odd.get(name) if r.random() < oddness else None
        # a key that is equal to the template's and not the same object
        info["".join(list(name))] = (made or values[name])()
    if r.random() < oddness:
        return r.choice([Dict(info), dict(info, surplus=1), None, [], {1: 2}])
    return info


NAMES = [("float", "int", "bool"), ("np", "wide", "array"), ("deep", "float"), ("text", "int")]


class RandomEnv(object):
    """Does as its seed says; two of one seed do the same."""

    def __init__(self, seed, plan, oddness, five=True):
        self.random = random.Random(seed)
        self.plan = plan
        self.oddness = oddness
        self.five = five
        self.taken = []

    def _obs(self):
        return obs_of(self.plan, self.random, self.oddness)

    def _info(self):
        return info_of(self.random, self.oddness, self.random.choice(NAMES))

    def reset(self, seed=None, options=None):
        if self.random.random() < self.oddness / 4:
            raise Trouble("at reset")
        obs = obs_of(self.plan, self.random, 0)
        return obs, info_of(self.random, 0, self.random.choice(NAMES))

    def step(self, action):
        r, oddness = self.random, self.oddness
        self.taken.append((type(action), repr(action)))
        del self.taken[:-4]
        if r.random() < oddness / 4:
            raise r.choice([Trouble("in step"), StopIteration(), KeyError("\xe9"), Exception()])
        obs, info, reward = self._obs(), self._info(), reward_of(r, oddness)
        flags = (flag_of(r, oddness), flag_of(r, oddness))
        if not self.five:
            if r.random() < 0.3 and isinstance(info, dict):
                info["TimeLimit.truncated"] = flag_of(r, oddness)
            flags = flags[:1]
        result = (obs, reward) + flags + (info,)
        if r.random() < oddness / 4:
            return r.choice([result[:3], result + (1,), list(result), None, 7])
        return result

    def close(self):
        pass


LEAF = ("leaf", 0, "<f4", (3,))
INNER = ("dict", [("z", ("leaf", 2, "<i4", ()))])
PLANS = [
    LEAF,
    ("leaf", 0, "|u1", (2, 2, 1)),
    ("leaf", 0, "<i8", ()),
    ("leaf", 0, "|i1", ()),
    ("leaf", 0, "<u2", ()),
    ("leaf", 0, "<f8", ()),
    ("leaf", 0, "<f4", ()),
    ("leaf", 0, "|b1", (4,)),
    ("leaf", 0, "<c16", (2,)),
    (
        "dict",
        [
            ("image", ("leaf", 0, "|u1", (2, 2))),
            ("both", ("tuple", [("leaf", 1, "<f8", ()), INNER])),
        ],
    ),
    ("tuple", [LEAF, ("dynamic", 1)]),
]


class Steady(object):
    """An ordinary env."""

    def __init__(self, five=True):
        self.obs = np.arange(3, dtype=np.float32)
        self.result = (self.obs, 1.0, False, False, {}) if five else (self.obs, 1.0, False, {})

    def reset(self, seed=None, options=None):
        return self.obs, {}

    def step(self, action):
        return self.result


class Informed(Steady):
    """One with an info that takes all kinds of columns."""

    def __init__(self):
        Steady.__init__(self)
        self.count = 0

    def step(self, action):
        self.count += 1
        info = {
            "f": 0.5,
            "i": self.count,
            "b": True,
            "n": np.float32(self.count),
            "a": np.arange(3),
            "d": {"x": 1.0},
        }
        return self.obs, self.count, self.count % 7 == 0, False, info
