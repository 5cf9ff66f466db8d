# SPDX-License-Identifier: MIT
"""An example of every kind of space."""

from __future__ import annotations

import inspect
from typing import Any, cast

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

__all__ = ["BOX_DTYPES", "CustomSpace", "example_spaces"]

BOX_DTYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)
"""Every dtype that a `Box` can have."""


class CustomSpace(Space[Any]):
    """A space that Gymnasium does not know; its samples are strings, tuples and dicts."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(None, None, seed)

    def sample(self, mask: Any = None, probability: Any = None) -> Any:
        """Return a string, a tuple or a dict."""
        number = int(self.np_random.integers(1000))
        return (f"sample {number}", (number, "x"), {"number": number})[number % 3]

    def contains(self, x: Any) -> bool:
        """Return whether `x` has the type of a sample."""
        return isinstance(x, (str, tuple, dict))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CustomSpace)

    def __hash__(self) -> int:
        return hash(CustomSpace)


def example_spaces() -> dict[str, Space[Any]]:
    """Make one space of each kind.

    Returns:
        New, unseeded spaces by name; the names can be part of a Python identifier.
    """
    spaces: dict[str, Space[Any]] = {}
    for name in BOX_DTYPES:
        dtype = np.dtype(name)
        low, high = (-5, 5) if dtype.kind in "if" else (0, 1) if dtype.kind == "b" else (0, 5)
        spaces[f"box_{name}"] = Box(low, high, (3,), dtype.type)
    spaces |= {
        "box_scalar": Box(-1, 1, (), np.float32),
        "box_scalar_int": Box(0, 9, (), np.int16),
        "box_empty": Box(-1, 1, (0, 2), np.float32),
        "box_matrix": Box(-1, 1, (2, 3, 4), np.float64),
        "box_unbounded": Box(-np.inf, np.inf, (2,), np.float64),
        "box_64k": Box(0, 255, (128, 128, 4), np.uint8),
        "discrete": Discrete(5),
        "discrete_start": Discrete(5, start=-2),
        "multi_binary": MultiBinary(5),
        "multi_binary_matrix": MultiBinary((2, 3)),
        "multi_discrete": MultiDiscrete([3, 4]),
        "multi_discrete_matrix": MultiDiscrete(
            np.array([[3, 4], [5, 6]]), start=np.array([[1, 0], [-2, 7]])
        ),
        "text": Text(8, min_length=0),
        "sequence": Sequence(Box(-1, 1, (2,), np.float32)),
        "sequence_stacked": Sequence(Box(-1, 1, (2,), np.float32), stack=True),
        "graph": Graph(Box(-1, 1, (2,), np.float32), Discrete(3)),
        "one_of": OneOf([Discrete(3), Box(-1, 1, (2,), np.float32), Text(3)]),
        "custom": CustomSpace(),
        "dict": Dict({"z": Box(-1, 1, (2,), np.float16), "a": Discrete(4)}),
        "tuple": Tuple([Box(0, 255, (2, 2), np.uint8), MultiBinary(3)]),
        "nested": Dict(
            {
                "inner": Dict(
                    {
                        "pair": Tuple([Discrete(3), Box(-1, 1, (2,), np.float64)]),
                        "flag": MultiBinary(1),
                    }
                ),
                "image": Box(0, 255, (5, 7, 3), np.uint8),
                "odd": Box(0, 1, (3,), cast(Any, np.bool_)),
            }
        ),
        "mixed": Dict(
            {
                "text": Text(4),
                "pair": Tuple([CustomSpace(), Box(-1, 1, (3,), np.float32), Sequence(Discrete(3))]),
            }
        ),
        "tuple_of_texts": Tuple([Text(3), Text(4)]),
    }
    if "dtype" in inspect.signature(Discrete).parameters:  # from Gymnasium 1.2 on
        spaces["discrete_uint8"] = Discrete(5, dtype=np.uint8)
    return spaces
