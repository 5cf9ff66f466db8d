# SPDX-License-Identifier: MIT
"""Envs that show what a wire carries; a host runs this file in its workers, as `setup`."""

import sys
import time

import gymnasium
import numpy as np
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    GraphInstance,
    MultiBinary,
    MultiDiscrete,
    Sequence,
    Space,
    Text,
)


class Counting(gymnasium.Env):
    """Observations say the episode, the step and the action; episodes are cut off at 3 steps."""

    observation_space = Box(-1, np.inf, (4,), np.float32)
    action_space = Discrete(2)
    episode = t = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self.seen(-1), {"round": self.episode, "seed": seed, "options": options}

    def step(self, action):
        self.t += 1
        return self.seen(action), self.t / 8, False, self.t >= 3, {"t": self.t}

    def seen(self, action):
        return np.array([0, self.episode, self.t, action], np.float32)


class Scalar(gymnasium.Env):
    """Observations are the number of the step; episodes end at 3 steps."""

    observation_space = Discrete(9, start=-2)
    action_space = Box(-1, 1, (2,))
    t = -2

    def reset(self, *, seed=None, options=None):
        self.t = -2
        return self.t, {}

    def step(self, action):
        self.t += 1
        return self.t, np.float32(action.sum()), self.t >= 1, False, {}


class Failing(Counting):
    def step(self, action):
        raise KeyError("broken")


class Passing(Counting):
    """As one that asks a server itself, which answers nonsense."""

    def step(self, action):
        from envring.errors import WireError

        raise WireError("what it was answered does not fit")


class Keys(Counting):
    def step(self, action):
        inner = {"deep": [{b"x": np.float32(0.5)}]}
        info = {(1, 2): "tuple", b"y": 1, 3: "int", "array": np.arange(2), **inner}
        return self.seen(action), 0.0, False, False, info


class Sleepy(Counting):
    def step(self, action):
        time.sleep(2 if action == 0 else 600)
        return super().step(action)


class Custom(Counting):
    observation_space = Space()


class Strange(gymnasium.Env):
    observation_space = Dict({"far": Box(-np.inf, np.inf, (2,)), "text": Text(9)})
    action_space = Dict({"move": Discrete(5, start=-2), "force": Box(0, 1, (1,))})
    seen = {"far": np.array([np.inf, -np.inf], np.float32), "text": "aé"}  # noqa: RUF012

    def reset(self, *, seed=None, options=None):
        return self.seen, {}

    def step(self, action):
        return self.seen, action["move"], False, False, {}


class NotANumber(Counting):
    def seen(self, action):
        return np.array([0, np.nan, np.inf, -np.inf], np.float32)


class Long(gymnasium.Env):
    """Integers that no float64 holds; infos say the action, as text, rewards that it is known."""

    observation_space = Box(0, 2**64 - 1, (3,), np.uint64)
    action_space = Box(-(2**63), 2**63 - 1, (2,), np.int64)

    def reset(self, *, seed=None, options=None):
        return np.array([2**64 - 1, 2**53 + 1, 0], np.uint64), {}

    def step(self, action):
        known = action.tolist() in ([-(2**63), 2**63 - 1], [2**53 + 1, 0])
        return self.reset()[0], float(known), False, False, {"action": str(action.tolist())}


class Empty(gymnasium.Env):
    """Sequences and graphs in which nothing is; rewards are the length of the action."""

    observation_space = Dict(
        {
            "rows": Sequence(Box(0, 1, (2,)), stack=True),
            "graph": Graph(Box(0, 1, (3,)), None),
            "edges": Graph(Discrete(2), Box(0, 1, (1,))),
        }
    )
    action_space = Sequence(Discrete(5), stack=True)

    def reset(self, *, seed=None, options=None):
        return {
            "rows": np.zeros((0, 2), np.float32),
            "graph": GraphInstance(np.zeros((0, 3), np.float32), None, None),
            "edges": GraphInstance(np.zeros(1, np.int64), None, None),
        }, {}

    def step(self, action):
        return self.reset()[0], len(action), False, False, {}


def echo_space(kind):
    """One that clients of other projects have trouble with."""
    int8, int64 = np.iinfo(np.int8), np.iinfo(np.int64)
    return {
        "int8": Box(-5, 5, (2,), np.int8),
        "int8_from_0": Box(0, 5, (2,), np.int8),
        "int8_bytes": Box(0, int8.max, (2,), np.int8),
        "int32": Box(np.array([-5, 0]), np.array([5, 9]), dtype=np.int32),
        "int64": Box(-(2**52), 2**52, (2,), np.int64),
        "int64_wide": Box(int64.min, int64.max, (2,), np.int64),
        "uint32": Box(0, 2**32 - 1, (2,), np.uint32),
        "uint8": Box(0, 255, (2, 2), np.uint8),
        "uint8_scalar": Box(0, 255, (), np.uint8),
        "bool": Box(0, 1, (2,), np.bool_),
        "multi_binary": MultiBinary(3),
        "multi_discrete": MultiDiscrete([3, 4]),
        "multi_discrete_start": MultiDiscrete([3, 4], start=[1, 2]),
        "one_of_three": MultiDiscrete([3]),
        "discrete": Discrete(3),
        "discrete_start": Discrete(3, start=-1),
        "float16": Box(-1, 1, (2,), np.float16),
        "float32": Box(-np.inf, np.inf, (2,), np.float32),
        "float64": Box(np.array([-1, -np.inf]), np.array([1, 2]), dtype=np.float64),
        "scalar": Box(-1, 1, (), np.float32),
        "text": Text(3),
        "dict": Dict({"a": Discrete(2)}),
    }[kind]


class Echo(gymnasium.Env):
    """Observes a sample of its action space, then each action; rewards that an action is in it."""

    def __init__(self, kind):
        self.action_space = self.observation_space = echo_space(kind)

    def reset(self, *, seed=None, options=None):
        self.action_space.seed(seed)
        return self.action_space.sample(), {}

    def step(self, action):
        return action, float(self.action_space.contains(action)), False, False, {}


class Broken(Counting):
    def __init__(self):
        raise ValueError("it cannot be built")


def every_space(without, special=True):
    """Samples of a Dict with an example of every kind of space, but some; so are actions."""
    from envring.testing import SpaceEnv, example_spaces

    found = {name: space for name, space in example_spaces().items() if name not in without}
    actions = {name: space for name, space in found.items() if name != "graph"}
    return SpaceEnv(Dict(found), Dict(actions), lengths=[2], ending="truncated", special=special)


def local_env(without, special=True):
    """The same in a worker of this machine."""
    import envring

    source = envring.EnvSource(f"{__file__}:every_space", args=(list(without), special))
    return envring.RingEnv(source, launcher=envring.Python(sys.executable))


NAMES = (
    *("Counting", "Scalar", "Failing", "Sleepy", "Custom", "Strange", "NotANumber", "Broken"),
    *("Long", "Empty", "Echo", "Passing", "Keys"),
)

for name in NAMES:
    gymnasium.register(
        f"{name}-v0",
        globals()[name],
        disable_env_checker=True,
        order_enforce=False,
    )

NOT_CARRIED = ("custom", "mixed")  # by JSON
FEWER = (*NOT_CARRIED, "box_64k")  # which is long
FEWER_TENSORS = [*FEWER, "sequence", "sequence_stacked", "graph", "one_of"]  # of dm_env_rpc
for name, kwargs in (
    ("EverySpace-v0", {}),
    ("JsonSpaces-v0", {"without": NOT_CARRIED}),
    ("FiniteSpaces-v0", {"without": FEWER, "special": False}),
):
    gymnasium.register(
        name, every_space, kwargs=kwargs, disable_env_checker=True, order_enforce=False
    )
