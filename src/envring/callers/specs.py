# SPDX-License-Identifier: MIT
"""What a server of dm_env_rpc says of its tensors, as Gymnasium's spaces.

A server of ours says its spaces exactly. Of others the specs are all there is: integers with bounds
become Discrete or MultiDiscrete, as in remote-gym's client, everything else a Box or Text.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from gymnasium import spaces

from envring.batch.space_data import MAX_CHILDREN, MAX_ELEMENTS, build_space
from envring.errors import CodecError, SpaceDataError, WireError
from envring.gateways.dm_env_rpc import protobuf, tensors
from envring.gateways.dm_env_rpc.spaces import Tree
from envring.gateways.dm_env_rpc.tensors import DTYPES, STRING, Spec
from envring.transport import codec

_MOST_VALUES = 1 << 31  # of an integer, beyond which it is a Box
_LONGEST_TEXT = 1 << 16
_IN_BOUND = 8


@dataclass(frozen=True)
class Part:
    """One tensor: how values of its space become bytes, and back.

    Attributes:
        uid: names it in requests.
        spec: what the server says of it.
        space: what it is here.
    """

    uid: int
    spec: Spec
    space: spaces.Space[Any]

    def dumps(self, value: Any) -> bytes:
        """A value as an entry of the map that a StepRequest has of its actions."""
        if self.spec.code == STRING:
            tensor = tensors.dumps(STRING, [str(value)])
        else:
            array = np.asarray(value)
            if array.shape != self.spec.shape:
                raise WireError(
                    f"{self.spec.name!r} has the shape {list(array.shape)}, but "
                    f"{list(self.spec.shape)} is expected"
                )
            array = array.astype(DTYPES[self.spec.code], copy=False)
            tensor = tensors.dumps(self.spec.code, array, self.spec.shape)
        return protobuf.bytes_field(
            1, protobuf.number_field(1, self.uid), protobuf.bytes_field(2, tensor)
        )

    def loads(self, tensor: memoryview) -> Any:
        """The value that a Tensor message holds.

        Raises:
            WireError: it does not fit.
        """
        found = tensors.loads(tensor).fit(self.spec)
        if self.spec.code == STRING:
            return found
        if isinstance(self.space, spaces.Discrete):
            return self.space.dtype.type(found)
        return np.asarray(found, self.space.dtype)


@dataclass(frozen=True)
class Side:
    """The actions, or the observations.

    Attributes:
        space: what they are.
        parts: the tensors.
        split: from a value of the space to those of the parts.
        join: and back.
    """

    space: spaces.Space[Any]
    parts: list[Part]
    split: Callable[[Any], Sequence[Any]]
    join: Callable[[Sequence[Any]], Any]


def exactly(name: str, space: spaces.Space[Any], specs: Mapping[int, Spec]) -> Side:
    """The side whose space is known.

    Raises:
        SpaceDataError: the specs are not those of the space.
    """
    tree = Tree(name, space)
    uids = {spec.name: uid for uid, spec in specs.items()}
    parts = []
    for leaf in tree.leaves:
        uid = uids.get(leaf.spec.name, 0)
        spec = specs.get(uid)
        if spec is None or (spec.code, spec.shape) != (leaf.spec.code, leaf.spec.shape):
            raise SpaceDataError(f"the specs have no {leaf.spec.name!r} that fits its space")
        parts.append(Part(uid, spec, leaf.space))
    return Side(space, parts, tree.split, tree.join)


def guessed(specs: Mapping[int, Spec]) -> Side:
    """The side of which only specs are known: one tensor, or a Dict of several."""
    parts = [Part(uid, spec, space_of(spec)) for uid, spec in sorted(specs.items())]
    if len(parts) == 1:
        return Side(parts[0].space, parts, lambda value: [value], lambda values: values[0])
    names = [part.spec.name for part in parts]
    return Side(
        spaces.Dict({part.spec.name: part.space for part in parts}),
        parts,
        lambda value: [value[name] for name in names],
        lambda values: dict(zip(names, values, strict=True)),
    )


def space_of(spec: Spec) -> spaces.Space[Any]:
    """The space that is nearest to what a spec says.

    Raises:
        SpaceDataError: there is none: the bounds contradict each other, for example.
    """
    try:
        return _space_of(spec)
    except (ValueError, AssertionError, TypeError, OverflowError) as error:
        raise SpaceDataError(f"{spec.name!r:.60} is not a space: {str(error)[:300]}") from None


def _space_of(spec: Spec) -> spaces.Space[Any]:
    if spec.code == STRING:
        if spec.shape:
            raise SpaceDataError(f"{spec.name!r} has several texts, for which there is no space")
        return spaces.Text(_LONGEST_TEXT, min_length=0, charset=string.printable)
    dtype: Any = DTYPES[spec.code]
    low, high = spec.low, spec.high
    integers = dtype.kind in "iu" and dtype != np.uint8
    if integers and low is not None and high is not None:
        first = low.astype(object)
        counts = np.asarray(high.astype(object) - first + 1)
        if counts.size and counts.min() > 0 and counts.max() < _MOST_VALUES:
            if not spec.shape:
                return spaces.Discrete(int(counts), start=int(first))
            start = low.astype(np.int64)
            return spaces.MultiDiscrete(counts.astype(np.int64), dtype.type, start=start)
    least: Any
    most: Any
    if dtype.kind == "b":
        least, most = 0, 1
    elif dtype.kind == "f":
        least, most = -np.inf, np.inf
    else:
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    return spaces.Box(
        np.full(spec.shape, least, dtype) if low is None else low,
        np.full(spec.shape, most, dtype) if high is None else high,
        spec.shape,
        dtype.type,
    )


def read_specs(body: memoryview) -> tuple[dict[int, Spec], dict[int, Spec]]:
    """The actions and observations of an ActionObservationSpecs message, by uid.

    Raises:
        WireError: it is not one.
        SpaceDataError: a spec is of a kind that no space has.
    """
    found: tuple[dict[int, Spec], dict[int, Spec]] = {}, {}
    for number, kind, value in protobuf.fields(body):
        if number in (1, 2):
            uid, message = protobuf.entry(protobuf.message(kind, value))
            found[number - 1][uid] = read_spec(message)
    for specs in found:
        names = {spec.name for spec in specs.values()}
        sizes = sum(prod(spec.shape) for spec in specs.values())
        if len(names) < len(specs) or len(specs) > MAX_CHILDREN or sizes > MAX_ELEMENTS:
            raise SpaceDataError("the specs have names twice, or are too many or too large")
    return found


def read_spec(data: memoryview) -> Spec:
    """Reads a TensorSpec message; see `read_specs`."""
    name, code, shape = "", 0, []
    bounds: dict[int, memoryview] = {}
    for number, kind, value in protobuf.fields(data):
        if number == 1:
            name = protobuf.text(kind, value)
        elif number == 2:
            shape += tensors.read_shape(kind, value)
        elif number == 3 and kind == protobuf.VARINT:
            code = value
        elif number in (4, 5):
            bounds[number] = protobuf.message(kind, value)
    if code not in DTYPES and code != STRING:
        raise SpaceDataError(f"{name!r:.60} has a data type that no space has: {code}")
    if any(length < 0 for length in shape) or len(shape) > 32 or prod(shape) > MAX_ELEMENTS:
        raise SpaceDataError(f"{name!r:.60} has a shape that varies or is too large: {shape}")
    place = tuple(shape)
    low, high = (_bound(name, code, place, bounds.get(number)) for number in (4, 5))
    return Spec(name, code, place, low, high)


def _bound(name: str, code: int, shape: tuple[int, ...], data: memoryview | None) -> Any:
    if data is None or code == STRING:
        return None
    for number, kind, value in protobuf.fields(data):
        if number == code + _IN_BOUND:
            found = tensors.read_values(code, protobuf.message(kind, value))
            if found.size not in (1, prod(shape)):
                raise SpaceDataError(f"{name!r:.60} has bounds of another shape")
            return np.full(shape, found[0]) if found.size == 1 else found.reshape(shape)
    return None


def read_spaces(data: memoryview) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """Both spaces of a server of ours, observations first.

    Raises:
        SpaceDataError: they are not spaces.
    """
    try:
        match codec.matchable(codec.loads(bytes(data))):
            case (observations, actions):
                return build_space(observations), build_space(actions)
    except CodecError as error:
        raise SpaceDataError(str(error)) from None
    raise SpaceDataError("the server's spaces are not two")
