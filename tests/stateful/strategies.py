# SPDX-License-Identifier: MIT
"""Generated spaces and arrangements for the state machine."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Space,
    Text,
    Tuple,
)
from hypothesis import strategies as st

from envring.testing import BOX_DTYPES, INFO_STYLES, CustomSpace, SpaceEnv

SHAPES = [(), (1,), (3,), (2, 3), (0,), (2, 0, 1), (1, 2, 1, 2)]
KEYS = ["a", "b", "position", "grün", "with space", "0"]


@st.composite
def boxes(draw: st.DrawFn, kinds: str = "biuf") -> Box:
    names = [name for name in BOX_DTYPES if np.dtype(name).kind in kinds]
    dtype = np.dtype(draw(st.sampled_from(names)))
    if dtype.kind == "f":
        low, high = draw(st.sampled_from([(-1.0, 1.0), (-np.inf, np.inf), (0.0, np.inf)]))
    elif dtype.kind == "b":
        low, high = 0, 1
    else:
        info = np.iinfo(dtype)
        top = min(int(info.max), 2**63 - 2)
        low, high = draw(st.sampled_from([(0, 5), (int(info.min), top), (1, 1)]))
    return Box(low, high, draw(st.sampled_from(SHAPES)), dtype.type)


_HAS_DTYPE = "dtype" in inspect.signature(Discrete).parameters  # from Gymnasium 1.2 on


@st.composite
def discretes(draw: st.DrawFn) -> Discrete:
    dtype = draw(st.sampled_from([np.int64, np.int32, np.uint8]))
    given: dict[str, Any] = {"dtype": dtype} if _HAS_DTYPE else {}
    return Discrete(draw(st.integers(1, 9)), start=draw(st.integers(0, 9)), **given)


# 64 KiB per environment: far too much to be copied lightly.
BIG = st.builds(lambda: Box(0, 255, (128, 128, 4), np.uint8))
PLAIN = st.one_of(
    boxes(),
    discretes(),
    st.builds(MultiBinary, st.sampled_from([1, 5, (2, 3)])),
    st.builds(MultiDiscrete, st.sampled_from([[3], [2, 5, 9], [[2, 3], [4, 5]]])),
)
ODD = st.one_of(
    st.builds(Text, st.integers(1, 6)),
    st.builds(lambda stack: Sequence(Box(-1, 1, (2,), np.float32), stack=stack), st.booleans()),
    st.builds(lambda: Graph(Box(-1, 1, (2,), np.float32), Discrete(3))),
    st.builds(lambda: OneOf([Discrete(3), Box(-1, 1, (2,), np.float32), Text(3)])),
    st.builds(CustomSpace),
)


def nested(leaves: st.SearchStrategy[Space[Any]]) -> st.SearchStrategy[Space[Any]]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(Tuple),
            st.dictionaries(st.sampled_from(KEYS), inner, min_size=1, max_size=3).map(Dict),
        ),
        max_leaves=4,
    )


# By family, because examples of a state machine are too few to meet all of them by chance.
FAMILIES: dict[str, st.SearchStrategy[Space[Any]]] = {
    "floats": boxes("f"),
    "integers": st.one_of(boxes("biu"), PLAIN),
    "big": BIG,
    "nested": nested(PLAIN),
    "odd": ODD,
    "odd and nested": nested(st.one_of(ODD, PLAIN)),
}


@dataclass(frozen=True)
class Arrangement:
    """One vector environment: what is in it and how it is run."""

    observation_space: Space[Any]
    action_space: Space[Any]
    count: int
    mode: str
    copy: bool
    infos: str
    ending: str
    lengths: tuple[int, ...]
    workers: int
    step_loop: str
    slots: int | None

    def env_fns(self) -> list[Callable[[], SpaceEnv]]:
        """New, equal environments at each call."""

        def make(index: int) -> SpaceEnv:
            return SpaceEnv(
                copy.deepcopy(self.observation_space),
                copy.deepcopy(self.action_space),
                index=index,
                lengths=(*self.lengths[index % len(self.lengths) :], self.lengths[0]),
                ending=self.ending,
                infos=self.infos,
            )

        return [lambda index=index: make(index) for index in range(self.count)]


def arrangements(family: str, workers: list[int]) -> st.SearchStrategy[Arrangement]:
    """What to run, with observations of one family."""
    return st.builds(
        Arrangement,
        observation_space=FAMILIES[family],
        action_space=st.one_of(boxes(), PLAIN, nested(PLAIN), nested(ODD), st.just(Discrete(3))),
        count=st.sampled_from([3, 2, 4, 1]),
        mode=st.sampled_from(["NextStep", "SameStep", "Disabled"]),
        copy=st.sampled_from([True, True, False]),
        infos=st.sampled_from([*reversed(INFO_STYLES), "churn", "steady"]),
        ending=st.sampled_from(["terminated", "truncated", "both"]),
        lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
        workers=st.sampled_from(workers),
        step_loop=st.sampled_from(["compiled", "reference"]),
        slots=st.sampled_from([None, 1, 3]),
    )
