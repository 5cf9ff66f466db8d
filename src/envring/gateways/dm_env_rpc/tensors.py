# SPDX-License-Identifier: MIT
"""Tensors and their specs, as dm_env_rpc v1 writes them, from and to numpy arrays.

Data types have the numbers of the fields in a Tensor; a bound's field has 8 more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envring.errors import WireError
from envring.gateways.dm_env_rpc import protobuf
from envring.gateways.dm_env_rpc.protobuf import BYTES, bytes_field, number_field

BOOL, STRING = 9, 10
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("int8"),
    4: np.dtype("int32"),
    5: np.dtype("int64"),
    6: np.dtype("uint8"),
    7: np.dtype("uint32"),
    8: np.dtype("uint64"),
    BOOL: np.dtype("bool"),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
NAMES = {code: dtype.name for code, dtype in DTYPES.items()} | {STRING: "string"}
_RAW = (1, 2, 3, 6)  # written as the bytes that they are
_ALIKE = (3, 6)  # and their payload is one field of bytes
_SHAPE = 15
_MOST_DIMENSIONS = 64
_IN_BOUND = 8


@dataclass(frozen=True)
class Spec:
    """What a tensor is.

    Attributes:
        name: unique among the actions, or the observations.
        code: of its data type.
        shape: without -1.
        low: the least values, as an array of the shape; None for none.
        high: the greatest.
        per_element: whether the bounds travel for each element even if all are equal.
    """

    name: str
    code: int
    shape: tuple[int, ...] = ()
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None
    per_element: bool = False

    def dumps(self) -> bytes:
        """As a TensorSpec message."""
        parts = [bytes_field(1, self.name.encode())]
        if self.shape:
            parts.append(bytes_field(2, protobuf.pack_varints(np.asarray(self.shape))))
        parts.append(number_field(3, self.code))
        for number, bound in ((4, self.low), (5, self.high)):
            if bound is not None:
                parts.append(bytes_field(number, self._bound(bound)))
        return b"".join(parts)

    def _bound(self, bound: NDArray[Any]) -> bytes:
        if bound.size and not self.per_element and (bound == bound.flat[0]).all():
            bound = bound.reshape(-1)[:1]
        return bytes_field(self.code + _IN_BOUND, _payload(self.code, bound))


def _payload(code: int, values: Any) -> bytes:
    if code == STRING:
        return b"".join(bytes_field(1, each.encode()) for each in values)
    if code in _RAW:
        return bytes_field(1, np.ascontiguousarray(values, DTYPES[code]).tobytes())
    return bytes_field(1, protobuf.pack_varints(np.asarray(values)))


def dumps(code: int, values: Any, shape: Sequence[int] = ()) -> bytes:
    """A Tensor message.

    Args:
        code: of the data type.
        values: an array of that type, or a list of texts.
        shape: its shape, () for a scalar.
    """
    if code in _RAW:
        array = np.ascontiguousarray(values, DTYPES[code])
        head, tail = frame(code, array.nbytes, tuple(shape))
        return b"".join((head, array.data.cast("B") if array.size else b"", tail))
    return bytes_field(code, _payload(code, values)) + _shape_field(shape)


@lru_cache(256)
def frame(code: int, nbytes: int, shape: tuple[int, ...]) -> tuple[bytes, bytes]:
    """What stands before and behind the bytes of an array that is written as it is."""
    inner = b"\x0a" + protobuf.varint(nbytes)
    outer = protobuf.varint(code << 3 | BYTES) + protobuf.varint(len(inner) + nbytes)
    return outer + inner, _shape_field(shape)


def _shape_field(shape: Sequence[int]) -> bytes:
    return bytes_field(_SHAPE, protobuf.pack_varints(np.asarray(shape))) if shape else b""


@dataclass(frozen=True)
class Tensor:
    """A tensor as it came: its shape may be anything yet.

    Attributes:
        code: of its data type.
        values: a flat array, or a list of texts.
        shape: as it was given.
    """

    code: int
    values: Any
    shape: tuple[int, ...]

    def fit(self, spec: Spec) -> Any:
        """The value that a spec asks for: an array of its shape, or a text.

        One element stands for all, and one dimension may be -1.

        Raises:
            WireError: the tensor does not fit.
        """
        if self.code != spec.code:
            raise WireError(
                f"{spec.name!r} has the data type {NAMES.get(self.code, 'none')}, but "
                f"{NAMES[spec.code]} is expected"
            )
        if not self.shape == spec.shape == () or len(self.values) != 1:
            return self._fit_shape(spec)
        return self.values[0]

    def _fit_shape(self, spec: Spec) -> Any:
        free = [place for place, length in enumerate(self.shape) if length < 0]
        fits = len(self.shape) == len(spec.shape) and all(
            length in (wanted, -1) for length, wanted in zip(self.shape, spec.shape, strict=False)
        )
        count, wanted = len(self.values), prod(spec.shape)
        if not fits or len(free) > 1 or count not in (wanted, 1):
            raise WireError(
                f"{spec.name!r} has {count} elements of shape {list(self.shape)}, but the shape "
                f"{list(spec.shape)} is expected"
            )
        if self.code == STRING:
            return self.values[0]
        values: NDArray[Any] = self.values
        if count != wanted:
            return np.full(spec.shape, values[0])
        return values.reshape(spec.shape)

    def scalar(self, code: int) -> Any:
        """The value of a scalar.

        Raises:
            WireError: it is not one, or of another type.
        """
        value = self.fit(Spec("the setting", code))
        return value if code == STRING else value.item()


def loads(data: memoryview) -> Tensor:
    """Reads a Tensor message.

    Raises:
        WireError: it is not one.
    """
    code, payload, shape = 0, memoryview(b""), []
    for number, kind, value in protobuf.fields(data):
        if number == _SHAPE:
            shape += read_shape(kind, value)
            if len(shape) > _MOST_DIMENSIONS:
                raise WireError("a tensor has too many dimensions")
        elif number in DTYPES or number == STRING:
            code, payload = number, protobuf.message(kind, value)
    if not code:
        raise WireError("a tensor has no payload that this host reads")
    return Tensor(code, read_values(code, payload), tuple(shape))


def read_shape(kind: int, value: Any) -> list[int]:
    """A field with the lengths of dimensions, or one of them."""
    if kind == protobuf.VARINT:
        return [protobuf.signed(value)]
    found: list[int] = protobuf.varints(protobuf.message(kind, value)).view(np.int64).tolist()
    return found


def read_values(code: int, payload: memoryview) -> Any:
    """The elements of a message that holds one array: a flat array, or a list of texts."""
    if code == STRING:
        each = protobuf.fields(payload)
        return [protobuf.text(kind, value) for number, kind, value in each if number == 1]
    dtype = DTYPES[code]
    pieces: list[NDArray[Any]] = []
    for number, kind, value in protobuf.fields(payload):
        if number == 1:
            pieces.append(_piece(code, dtype, kind, value))
    if code in _ALIKE:
        pieces = pieces[-1:]
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype)


def _piece(code: int, dtype: np.dtype[Any], kind: int, value: Any) -> NDArray[Any]:
    if code in _RAW:
        alone = {1: protobuf.FIXED32, 2: protobuf.FIXED64}.get(code)
        if kind not in (BYTES, alone) or len(value) % dtype.itemsize:
            raise WireError(f"the elements of a {NAMES[code]} tensor are malformed")
        return np.frombuffer(bytes(value), dtype)  # of its own, and aligned
    if kind == protobuf.VARINT:
        numbers = np.array([value], np.uint64)
    else:
        numbers = protobuf.varints(protobuf.message(kind, value))
    return numbers != 0 if code == BOOL else numbers.astype(dtype)
