# SPDX-License-Identifier: MIT
"""Envs whose infos hold objects, in classes that have a plain form and in some that have none."""

import collections

import numpy as np

try:
    import dataclasses
    import enum
    import pathlib
except ImportError:  # Python 2
    enum = None


class Discrete(object):
    def __init__(self, n):
        self.n = n


class Base(object):
    observation_space = Discrete(9)
    action_space = Discrete(9)

    def reset(self, seed=None, options=None):
        self.steps = 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        return self.steps % 9, 1.0, self.steps == 3, False, self.info(action)


def objects(*items):
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array


class VectorOfOne(Base):
    """Infos as those of AsyncVectorEnv with one env: at the end they hold an array of objects."""

    def info(self, action):
        if self.steps < 3:
            return {"lives": np.array([2])}
        return {
            "final_observation": objects(np.arange(3)),
            "_final_observation": np.array([True]),
            "final_info": objects({"lives": 2, "of": objects(None, (1, u"a"))}),
            "grid": np.array([[1, None], [2.5, u"x"]], object),
        }


if enum is not None:

    class Color(enum.Enum):
        RED = "red"
        PAIR = (1, "two")

    Place = dataclasses.make_dataclass("Place", ["x", "color", "path"])


class Classes(Base):
    """Standard classes of which the plain form is known."""

    def info(self, action):
        numbers = range(2, 8, 2) if enum is not None else xrange(2, 8, 2)  # noqa: F821
        info = {"range": numbers, "deque": collections.deque([1, (2,)], maxlen=2)}
        if enum is not None:
            info["enum"] = [Color.RED, Color.PAIR]
            info["place"] = Place(1, Color.RED, pathlib.Path("/tmp") / "a")
            info["keys"] = {Color.RED: {Color.RED, 2}, pathlib.PurePosixPath("b"): 3}
            info["array"] = objects(Color.RED, [Color.PAIR])
        return info


class Thing(object):
    def __repr__(self):
        return "Thing!"


class Things(Base):
    """Objects without a plain form, in places that the action chooses."""

    def info(self, action):
        thing = Thing()
        looped = {"a": 1}
        looped["self"] = looped
        infos = [
            {"a": 1, "thing": thing, "in": {"b": 2.5, "thing": thing}, "list": [1, thing]},
            {"a": 1, "thing": "text", "in": {"b": 2.5, "thing": None}, "list": [1, 2]},
            {"a": 1, "keys": {"b": 2, thing: 3}, "array": objects(1, thing)},
            {"a": 1, "looped": looped, "huge": Huge()},
        ]
        return infos[action]

    def thing(self):
        return Thing()


class Huge(collections.deque):
    """Its items cannot be listed."""

    def __iter__(self):
        raise ValueError("no")
