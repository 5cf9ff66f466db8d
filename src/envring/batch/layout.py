# SPDX-License-Identifier: MIT
"""From a Gymnasium space to arrays in a segment, and back to a batch.

A layout is the space's tree with its leaves numbered. Leaves of fixed size (Box, Discrete,
MultiBinary, MultiDiscrete) become arrays (num_envs, *shape); all other spaces, a user's own
included, are dynamic leaves whose values travel as objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.vector.utils import concatenate, create_empty_array

from envring.core import _core

ALIGNMENT = _core.ALIGNMENT

_FIXED = (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)


@dataclass(frozen=True)
class Leaf:
    """A leaf of a layout.

    Attributes:
        index: its number.
        space: the leaf's space.
        dtype: of its values; None if the leaf is dynamic.
        shape: of one env's value; () if the leaf is dynamic.
    """

    index: int
    space: Space[Any]
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]

    @property
    def fixed(self) -> bool:
        """Whether its values have a fixed size."""
        return self.dtype is not None

    def nbytes(self, num_envs: int) -> int:
        """Bytes of the leaf's array for so many envs; 0 if it is dynamic."""
        if self.dtype is None:
            return 0
        return num_envs * math.prod(self.shape) * self.dtype.itemsize


def _is_own(space: Space[Any], kind: type[Space[Any]]) -> bool:
    """Whether Gymnasium batches this space as it batches `kind` (a user may have registered)."""
    return isinstance(space, kind) and concatenate.dispatch(type(space)) is concatenate.dispatch(
        kind
    )


class Layout:
    """Numbered leaves of a space.

    Attributes:
        leaves: the leaves.
        plan: the tree as plain data, for workers (see envring_worker/data/obs.py).
        is_one_leaf: whether there is no tree.
    """

    def __init__(self, space: Space[Any]) -> None:
        """Numbers the leaves of a single env's space."""
        self.leaves: list[Leaf] = []
        self.plan = self._plan(space)
        self.is_one_leaf = self.plan[0] in ("leaf", "dynamic")

    def _plan(self, space: Space[Any]) -> tuple[Any, ...]:
        if _is_own(space, spaces.Dict):
            return "dict", [(key, self._plan(child)) for key, child in space.items()]  # type: ignore[attr-defined]
        if _is_own(space, spaces.Tuple):
            return "tuple", [self._plan(child) for child in space.spaces]  # type: ignore[attr-defined]
        index = len(self.leaves)
        for kind in _FIXED:
            if _is_own(space, kind) and _storable(space):
                assert space.dtype is not None
                assert space.shape is not None
                # by way of its name: a dtype that was unpickled is not numpy's own instance
                dtype = np.dtype(np.dtype(space.dtype).str)
                self.leaves.append(Leaf(index, space, dtype, tuple(space.shape)))
                return "leaf", index, dtype.str, tuple(space.shape)
        self.leaves.append(Leaf(index, space, None, ()))
        return "dynamic", index

    @property
    def has_dynamic(self) -> bool:
        """Whether any leaf is dynamic."""
        return not all(leaf.fixed for leaf in self.leaves)

    def offsets(self, num_envs: int, start: int = 0) -> tuple[list[int], int]:
        """Offset of every leaf's array when they follow each other, and where they end."""
        offsets = []
        at = start
        for leaf in self.leaves:
            offsets.append(at)
            at += -(-leaf.nbytes(num_envs) // ALIGNMENT) * ALIGNMENT
        return offsets, at

    def build(self, values: Sequence[Any]) -> Any:
        """Puts one value per leaf into the space's structure: dict in its order, or tuple."""
        if self.is_one_leaf:
            return values[0]
        return _build(self.plan, values)

    def row(self, arrays: Sequence[Any], env_id: int) -> Any:
        """One env's value, copied out of the leaves' arrays."""
        if self.is_one_leaf:
            return _copy_row(arrays[0], env_id)
        return _build(self.plan, [_copy_row(array, env_id) for array in arrays])

    def empty_dynamic(self, num_envs: int) -> dict[int, Any]:
        """What a batch of each dynamic leaf is before any reset."""
        return {
            leaf.index: create_empty_array(leaf.space, n=num_envs)
            for leaf in self.leaves
            if not leaf.fixed
        }

    def batch_dynamic(self, index: int, values: Sequence[Any], out: Any) -> Any:
        """A dynamic leaf's values as Gymnasium batches them."""
        return concatenate(self.leaves[index].space, values, out)


def _copy_row(array: Any, env_id: int) -> Any:
    return array[env_id].copy() if getattr(array, "ndim", 0) > 1 else array[env_id]


def _storable(space: Space[Any]) -> bool:
    return space.dtype is not None and np.dtype(space.dtype).kind in "biufc"


def _build(plan: tuple[Any, ...], values: Sequence[Any]) -> Any:
    if plan[0] == "dict":
        return {key: _build(child, values) for key, child in plan[1]}
    if plan[0] == "tuple":
        return tuple(_build(child, values) for child in plan[1])
    return values[plan[1]]


def action_writer(
    layout: Layout, num_envs: int, slab: np.ndarray[Any, Any]
) -> Callable[[Any], bool] | None:
    """A function that stores a batch of actions in the slab if it has the spaces' dtypes.

    Only for action spaces of several leaves (Dict, Tuple), all fixed. It returns False, having
    changed nothing that matters, when anything is not exactly as expected.
    """
    if layout.has_dynamic or len(layout.leaves) == 0:
        return None
    offsets, _ = layout.offsets(num_envs)
    arrays = [
        slab[at : at + leaf.nbytes(num_envs)]
        .view(np.dtype(leaf.dtype))
        .reshape(num_envs, *leaf.shape)
        for at, leaf in zip(offsets, layout.leaves, strict=True)
    ]

    def store(plan: tuple[Any, ...], actions: Any) -> bool:
        if plan[0] == "leaf":
            array = arrays[plan[1]]
            if type(actions) is not np.ndarray or actions.dtype != array.dtype:
                return False
            if actions.shape != array.shape:
                return False
            array[...] = actions
            return True
        if plan[0] == "dict":
            if not isinstance(actions, dict):
                return False
            return all(key in actions and store(child, actions[key]) for key, child in plan[1])
        if not isinstance(actions, tuple) or len(actions) != len(plan[1]):
            return False
        return all(store(child, value) for child, value in zip(plan[1], actions, strict=True))

    return lambda actions: store(layout.plan, actions)
