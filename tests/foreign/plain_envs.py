# SPDX-License-Identifier: MIT
"""Envs for every interpreter: plain objects with stand-ins for spaces, and NumPy."""

import os
import random
import signal
import struct
import sys
import time
from collections import OrderedDict

import numpy as np

ENDINGS = {"terminated": (True, False), "truncated": (False, True), "both": (True, True)}
NAN = struct.unpack("<d", b"\x23\x01\x00\x00\x00\x00\xf8\xff")[0]  # one of many
ACCENTED = b"gr\xc3\xb6\xc3\x9fe \xf0\x9f\x8f\x81".decode("utf-8")


class Box(object):
    def __init__(self, low, high, shape, dtype):
        self.low = np.full(shape, low, dtype)
        self.high = np.full(shape, high, dtype)
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)


class Discrete(object):
    def __init__(self, n):
        self.n = n


class MultiBinary(object):
    def __init__(self, n):
        self.n = n
        self.shape = (n,)


class Tuple(object):
    def __init__(self, spaces):
        self.spaces = tuple(spaces)


class Dict(object):
    def __init__(self, spaces):
        self.spaces = OrderedDict(spaces)


class Numbers(object):
    """The same pseudo-random integers everywhere."""

    def __init__(self, seed):
        self.state = seed % 2**32

    def below(self, limit):
        self.state = (self.state * 1664525 + 1013904223) % 2**32
        return int(self.state // 65536 % limit)

    def floats(self, count):
        return [self.below(20001) / 64.0 - 100 for _ in range(count)]


def no_info(numbers):
    return {}


def steady_info(numbers):
    number = numbers.below(1000)
    return {
        "speed": number / 8.0,
        "lap": number - 500,
        "ok": number % 2 == 0,
        "f4": np.float32(number / 16.0),
        "pos": np.array(numbers.floats(3), np.float32),
        "deep": {"x": number, "more": {"y": np.int16(number)}},
    }


def churning_info(numbers):
    number = numbers.below(100)
    parts = [
        (
            "n",
            (int, float, np.float64, np.float32, np.int64, np.uint8, bool)[numbers.below(7)](
                number
            ),
        ),
        ("steady", number / 4.0),
        ("rare", "text" if number % 3 == 0 else None),
        ("arr", np.arange(number, number + 2).astype(("i4", "f8", "u1", "i2")[numbers.below(4)])),
        ("zero_d", np.array(number)),
        ("order", np.asfortranarray(np.arange(6.0).reshape(2, 3))),
        ("deep", {"m": number, "empty": {}}),
        ("big", 2**62 + number),
    ]
    return dict(part for part in parts if numbers.below(10) < 6)


def object_info(numbers):
    number = numbers.below(100)
    parts = [
        ("text", "n %d" % number),
        ("accented", ACCENTED),
        ("bytes", b"\x00\xff"),
        ("none", None),
        ("list", [number, {"a": 1.5, "b": (True, None)}]),
        ("flag", np.bool_(number % 2)),
        (7, "seven"),
        ("bigger", [-(2**100) - number]),
        ("nan", [NAN, -0.0, float("inf")]),
        ("record", [np.array([(number, 0.5)], [("a", "<i4"), ("b", "<f8")])]),
        ("date", np.array(["2020-01-01", "NaT"], "M8[D]")),
        ("words", [np.array(["ab", "c"], "S"), np.array([ACCENTED])]),
    ]
    return dict(part for part in parts if numbers.below(10) < 7)


INFOS = {"none": no_info, "steady": steady_info, "churn": churning_info, "objects": object_info}


class Plain(object):
    """The modern API by itself: no base class, no gym.

    Args:
        index: Number of this env, part of what it returns.
        lengths: Steps of the first, second, ... episode.
        ending: Key of ENDINGS.
        infos: Key of INFOS.
        faults: {place: what goes wrong there}, see `_pass`.
        diary: Path of a file to which "close INDEX" is appended.
        render_mode: "rgb_array" or None.
        slow: Seconds that some of its steps and resets take, at most.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(
        self,
        index=0,
        lengths=(3,),
        ending="terminated",
        infos="none",
        faults=None,
        diary=None,
        render_mode=None,
        slow=0.0,
    ):
        self.observation_space = Dict(
            [
                ("level", Discrete(1000)),
                ("pair", Tuple([Box(-1000, 1000, (2,), "f8"), MultiBinary(3)])),
                ("pixels", Box(0, 255, (2, 2), "u1")),
            ]
        )
        self.action_space = Discrete(8)
        self.render_mode = render_mode
        self.index = index
        self.gravity = 9.8
        self.episode = -1
        self.t = 0
        self.options = None
        self.lengths = tuple(lengths)
        self._ending = ENDINGS[ending]
        self._infos = INFOS[infos]
        self._faults = faults or {}
        self._diary = diary
        self._numbers = Numbers(index)
        self._slow = slow
        self._pace = random.Random(index)  # not of what it returns
        self._pass("init")

    def reset(self, seed=None, options=None):
        self._pass("reset")
        self._dawdle()
        self._start(seed)
        self.options = options
        return self._observation(-1), self._infos(self._numbers)

    def step(self, action):
        self._pass("step")
        self._dawdle()
        observation, reward, (terminated, truncated), info = self._play(action)
        return observation, reward, terminated, truncated, info

    def _dawdle(self):
        if self._slow and self._pace.random() < 0.3:
            time.sleep(self._pace.random() * self._slow)

    def render(self):
        self._pass("render")
        return np.full((2, 3, 3), self.index, np.uint8) if self.render_mode else None

    def close(self):
        self._pass("close")
        if self._diary:
            with open(self._diary, "a") as file:
                file.write("close %d\n" % self.index)

    def echo(self, *args, **kwargs):
        self._pass("echo")
        return self.index, list(args), kwargs

    def version(self):
        return "%d.%d" % sys.version_info[:2]

    def pid(self):
        return os.getpid()

    def variable(self, name):
        return os.environ.get(name)

    def path(self):
        return list(sys.path)

    def modules(self):
        return sorted(sys.modules)

    def stranger(self):
        return self

    def _start(self, seed):
        if seed is not None:
            self._numbers = Numbers(seed)
        self.t = 0
        self.episode += 1

    def _play(self, action):
        self.t += 1
        over = self.t >= self.lengths[self.episode % len(self.lengths)]
        ending = self._ending if over else (False, False)
        reward = self.index + self.t / 8.0 + int(action)
        return self._observation(int(action)), reward, ending, self._infos(self._numbers)

    def _observation(self, action):
        numbers = self._numbers
        return {
            "level": numbers.below(1000),
            "pair": (
                np.array(numbers.floats(2)),
                np.array([numbers.below(2) for _ in range(3)], np.int8),
            ),
            "pixels": np.array(
                [[self.index, self.episode % 256], [self.t % 256, action + 1]], np.uint8
            ),
        }

    def _pass(self, place):
        fault = self._faults.get(place)
        if fault == "raise":
            raise Strange("in %s of env %d" % (place, self.index))
        elif fault == "builtin":
            raise ValueError("in %s of env %d" % (place, self.index), 1)
        elif fault == "print":
            print("printed in %s" % place)
            os.write(1, b"written in " + place.encode() + b"\n")
        elif fault == "os._exit":
            complain("last words of env %d" % self.index)
            os._exit(7)
        elif fault == "sys.exit":
            sys.exit(7)
        elif fault == "stop":
            time.sleep(3600)
        elif fault:
            complain("last words of env %d" % self.index)
            os.kill(os.getpid(), getattr(signal, fault))
            signal.pause()


def complain(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Old(Plain):
    """The API of gym until 0.21."""

    metadata = {"render.modes": ["rgb_array"], "video.frames_per_second": 30}

    def __init__(self, **kwargs):
        kwargs.pop("render_mode", None)
        super(Old, self).__init__(**kwargs)
        self._seed = None

    def seed(self, seed=None):
        self._seed = seed
        return [seed]

    def reset(self):
        self._pass("reset")
        self._start(self._seed)
        self._seed = None
        observation = self._observation(-1)
        self._infos(self._numbers)
        return observation

    def step(self, action):
        self._pass("step")
        observation, reward, (terminated, truncated), info = self._play(action)
        if truncated:
            info["TimeLimit.truncated"] = not terminated
        return observation, reward, terminated or truncated, info

    def render(self, mode="human"):
        self._pass("render")
        return np.full((2, 3, 3), self.index, np.uint8) if mode == "rgb_array" else None


class Strange(Exception):
    """An exception that only this file has."""


class Indescribable(Plain):
    """Its space is none that anybody knows."""

    def __init__(self, **kwargs):
        super(Indescribable, self).__init__(**kwargs)
        self.observation_space = Dict([("a", Discrete(2)), ("secret", Stranger())])


class Stranger(object):
    pass


class Unsendable(Plain):
    """Its info holds what cannot cross."""

    def step(self, action):
        result = super(Unsendable, self).step(action)
        if action == 5:
            result[4]["outer"] = {"inner": [1, Stranger()]}
        return result


def make(**kwargs):
    return Plain(**kwargs)


def not_callable():
    return None


number = 5
