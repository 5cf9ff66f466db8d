# SPDX-License-Identifier: MIT
"""Gymnasium's spaces as dm_env_rpc's specs: carried exactly, or refused.

Dict and Tuple become several tensors with names such as "observation.camera" or "action.0".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from envring.errors import SpaceDataError, WireError
from envring.gateways.dm_env_rpc import tensors
from envring.gateways.dm_env_rpc.callers import Caller, for_remote_gym
from envring.gateways.dm_env_rpc.tensors import STRING, Spec, Tensor

_SEPARATOR = "."  # of the names of nested tensors
# dtypes that the wire has not: the next larger one that it has
_WIDER = {"float16": "float32", "int16": "int32", "uint16": "uint32", "bool": "int8"}


class Leaf:
    """A space that is one tensor.

    Attributes:
        spec: the tensor.
        default: the value for a caller that gives none: 0, or the bound that is nearest to it.
    """

    def __init__(self, name: str, space: spaces.Space[Any], caller: Caller) -> None:
        """Makes the spec.

        Raises:
            SpaceDataError: the wire, or this kind of caller, cannot carry the space.
        """
        self.space = space
        self.spec = _spec_of(name, space)
        if caller is Caller.REMOTE_GYM:
            self.spec = for_remote_gym(self.spec, space)
        # as in another process: bounds of a Box are the env's business
        self._is_free = isinstance(space, spaces.Box) and caller is not Caller.PLAIN
        told = tensors.DTYPES.get(self.spec.code)
        self._is_wider = told is not None and told != space.dtype
        self._range: tuple[int, int] | None = None  # quicker than arrays
        if isinstance(space, spaces.Discrete):
            self._range = int(space.start), int(space.start + space.n - 1)
        if self.spec.code == STRING:
            assert isinstance(space, spaces.Text)
            self.default: Any = space.character_list[0] * space.min_length
        else:
            assert self.spec.low is not None
            zero = np.zeros_like(self.spec.low)
            self.default = self._from_array(np.clip(zero, self.spec.low, self.spec.high))

    def dumps(self, value: Any) -> bytes:
        """A value of the space, as a Tensor message."""
        if self.spec.code == STRING:
            return tensors.dumps(STRING, [value])
        array = np.asarray(value)
        if array.shape != self.spec.shape:
            raise WireError(
                f"{self.spec.name!r} has the shape {list(array.shape)}, but its space has "
                f"{list(self.spec.shape)}"
            )
        return tensors.dumps(self.spec.code, array, self.spec.shape)

    def loads(self, tensor: Tensor) -> Any:
        """The value that a tensor holds.

        Raises:
            WireError: it is not one of the space.
        """
        found = tensor.fit(self.spec)
        if self.spec.code == STRING:
            if not self.space.contains(found):
                raise WireError(
                    f"{self.spec.name!r} is {found!r:.60}, which is not in {self.space}"
                )
            return found
        low, high = self.spec.low, self.spec.high
        if self._range is not None:
            if not self._range[0] <= found <= self._range[1]:
                raise WireError(f"{self.spec.name!r} is out of its bounds: {self.space}")
        elif not self._is_free and not _is_within(found, low, high):
            raise WireError(f"{self.spec.name!r} is out of its bounds: {self.space!s:.200}")
        if not self._is_wider:
            return self._from_array(found)
        with np.errstate(over="ignore", invalid="ignore"):
            made = self._from_array(found)
        fits = np.isfinite(made) == np.isfinite(found) if made.dtype.kind == "f" else made == found
        if not np.all(fits):
            raise WireError(f"{self.spec.name!r} has numbers that are not of {self.space.dtype}")
        return made

    def _from_array(self, found: Any) -> Any:
        if isinstance(self.space, spaces.Discrete):
            return self.space.dtype.type(found)
        return np.asarray(found, self.space.dtype)


def _is_within(found: Any, low: Any, high: Any) -> bool:
    within = (found >= low) & (found <= high)
    # a NaN is in bounds that are infinite on both sides, as Gymnasium has no others for it
    return bool(
        within.all() or (within | (np.isinf(low) & np.isinf(high) & (found != found))).all()
    )


class Tree:
    """A space, and the tensors that it becomes.

    Attributes:
        leaves: the tensors, in order.
    """

    def __init__(self, name: str, space: spaces.Space[Any], caller: Caller = Caller.PLAIN) -> None:
        """Finds the tensors.

        Raises:
            SpaceDataError: the wire, or this kind of caller, cannot carry the space.
        """
        if caller is Caller.REMOTE_GYM and isinstance(space, spaces.Dict | spaces.Tuple):
            raise SpaceDataError("remote-gym's client has no Dict and no Tuple spaces.")
        self.space = space
        self._caller = caller
        self.leaves: list[Leaf] = []
        self._tree = self._grow(name, space)

    def _grow(self, name: str, space: spaces.Space[Any]) -> Any:
        if isinstance(space, spaces.Dict):
            for key in space:
                if not isinstance(key, str) or not key or _SEPARATOR in key:
                    raise SpaceDataError(
                        f"dm_env_rpc cannot carry the key {key!r} of a Dict space: keys must be "
                        f"text without {_SEPARATOR!r}."
                    )
            return {
                key: self._grow(f"{name}{_SEPARATOR}{key}", child) for key, child in space.items()
            }
        if isinstance(space, spaces.Tuple):
            children = enumerate(space)
            return [self._grow(f"{name}{_SEPARATOR}{i}", child) for i, child in children]
        self.leaves.append(Leaf(name, space, self._caller))
        return len(self.leaves) - 1

    def split(self, value: Any) -> list[Any]:
        """The values of the leaves."""
        found: list[Any] = []
        _split(self._tree, value, found)
        return found

    def join(self, values: Sequence[Any]) -> Any:
        """A value of the space, from those of the leaves."""
        return _join(self._tree, values)


def _split(tree: Any, value: Any, found: list[Any]) -> None:
    if isinstance(tree, Mapping):
        for key, child in tree.items():
            _split(child, value[key], found)
    elif isinstance(tree, list):
        for child, each in zip(tree, value, strict=True):
            _split(child, each, found)
    else:
        found.append(value)


def _join(tree: Any, values: Sequence[Any]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _join(child, values) for key, child in tree.items()}
    if isinstance(tree, list):
        return tuple(_join(child, values) for child in tree)
    return values[tree]


def _spec_of(name: str, space: spaces.Space[Any]) -> Spec:
    match space:
        case spaces.Discrete():
            start = int(space.start)
            low, high = np.array(start), np.array(start + int(space.n) - 1)
        case spaces.MultiDiscrete():
            low = np.array(space.start)
            high = low + space.nvec - 1
        case spaces.MultiBinary():
            low = np.zeros(space.shape, np.int8)
            high = low + 1
        case spaces.Box():
            low, high = space.low, space.high
        case spaces.Text():
            return Spec(name, STRING)
        case _:
            raise SpaceDataError(
                f"dm_env_rpc cannot carry a space of the kind {type(space).__name__}."
            )
    dtype = np.dtype(space.dtype)
    known = np.dtype(_WIDER.get(dtype.name, dtype.name))
    if known not in tensors.CODES:
        raise SpaceDataError(f"dm_env_rpc cannot carry numbers of the type {dtype}.")
    # remote-gym takes integers with one bound for a Discrete without a shape
    per_element = known.kind in "iu" and known != np.uint8
    low, high = low.astype(known), high.astype(known)
    return Spec(name, tensors.CODES[known], low.shape, low, high, per_element)
