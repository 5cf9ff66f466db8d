# SPDX-License-Identifier: MIT
"""Envs with habits of real packages."""


import collections


class Discrete(object):
    def __init__(self, n):
        self.n = n


class Dict(object):
    def __init__(self, spaces):
        self.spaces = spaces


class Mission(object):
    """A kind of space that only this package has."""

    def sample(self):
        return "go somewhere"

    def contains(self, value):
        return value.startswith("go ")


class Missions(object):
    """An observation that holds a value of a space of the env's own."""

    observation_space = Dict({"mission": Mission()})
    action_space = Discrete(2)

    def reset(self, seed=None, options=None):
        self.steps = 0
        return {"mission": "go to %d" % (seed or 0)}, {}

    def step(self, action):
        self.steps += 1
        return {"mission": "go on %d" % self.steps}, 1.0, self.steps == 2, False, {}


class Commands(Missions):
    """Actions of such a space."""

    action_space = Dict({"command": Mission()})


class Alone(Missions):
    """An observation that is of such a space, and nothing else."""

    observation_space = Mission()


class Several(Missions):
    """Lists of them."""

    class Sequence(object):
        feature_space = Mission()

    observation_space = Dict({"missions": Sequence()})


class Status(int):
    """As a member of an IntEnum, which Python 2 does not have."""


class Words(str):
    """As a member of a class Words(str, Enum)."""

    def __str__(self):
        return "Words.A"


Point = collections.namedtuple("Point", "x y")


class Classes(Missions):
    """Infos in classes of the package's own that are plain values all the same."""

    at = Point(1, Status(2))

    def step(self, action):
        info = {"status": Status(3), "where": {"point": self.at, "seen": [Words("a")]}}
        info["counts"] = collections.defaultdict(int, {"a": Status(1)})
        if action:
            info["status"] = object()
        self.steps += 1
        return {"mission": "go"}, 1.0, self.steps == 3, False, info


class Cancelled(BaseException):
    """As asyncio and Rust have them."""


class Interrupted(Missions):
    """Raises at the second step what is not an Exception."""

    observation_space = Discrete(9)

    def reset(self, seed=None, options=None):
        self.steps = 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        if action:
            raise Cancelled("at step %d" % self.steps)
        return self.steps, 1.0, False, False, {}


_shared = Interrupted()


def shared():
    """Always the same env."""
    return _shared
