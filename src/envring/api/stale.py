# SPDX-License-Identifier: MIT
"""Rollouts' arrays that say so when they are used too late, or too early (ENVRING_DEBUG=1).

What is handed out are copies, one set for each rollout. When the memory of a step is written again,
its row in the copies is overwritten as well, with NaN or what else is easily recognised, and NumPy
is refused to read it. So what NumPy does not ask about, such as `np.asarray` and tensors that share
the memory, does not find old data either.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from envring.api.trees import mapped
from envring.errors import StaleViewError

_NOT_YET, _STORED, _OVER = range(3)  # states of a row

_OUTDATED = (
    "This array is of a rollout whose memory was written again since. Use the arrays of a rollout "
    "before the next one begins, or copy them."
)
_TOO_EARLY = (
    "This array has rows of steps that the rollout has not made yet, in which there is what an "
    "older one left. Step on until it is `full`, or use the first `rollout.at` rows."
)


class CheckedArray(np.ndarray[Any, np.dtype[Any]]):
    """An array over time, or a view of one, that checks its rows whenever NumPy is to read them.

    Copies of it are plain arrays, or are never refused.
    """

    _states: Any = None  # of the rows of the array over time that this is a view of
    _address = 0  # of that array
    _row_bytes = 0

    def __array_finalize__(self, source: Any) -> None:
        """Views of a view are checked as it is."""
        self._states = getattr(source, "_states", None)
        self._address = getattr(source, "_address", 0)
        self._row_bytes = getattr(source, "_row_bytes", 0)

    def _check(self) -> None:
        if self._states is not None and self.size:
            low, high = _bounds(self)
            self._check_bytes(np.array([low]), high - low)

    def _check_bytes(self, begins: npt.NDArray[np.int64], nbytes: int) -> None:
        """Checks the rows in which some runs of bytes are."""
        if self._states is None:
            return
        first = (begins - self._address) // self._row_bytes
        last = (begins + (nbytes - 1) - self._address) // self._row_bytes
        if first.min() < 0 or last.max() >= len(self._states):
            return  # a copy
        for at in range(int((last - first).max()) + 1):
            states = self._states[np.minimum(first + at, last)]
            if (states == _OVER).any():
                raise StaleViewError(_OUTDATED)
            if (states == _NOT_YET).any():
                raise StaleViewError(_TOO_EARLY)

    def _check_some(self, key: Any) -> None:
        """Checks what an index reads."""
        first = key[0] if isinstance(key, tuple) and key else key
        if first is None or first is Ellipsis or not self.size or not self.ndim:
            self._check()
            return
        if isinstance(first, np.ndarray) and first.dtype == bool:
            first = first.nonzero()[0] if first.ndim else slice(None)
        chosen = np.unique(np.arange(len(self))[first])
        if len(chosen):
            low, high = _bounds(_bare(self)[:1])
            self._check_bytes(low + chosen * self.strides[0], high - low)

    def _or_plain(self, found: Any, check: Callable[[], None]) -> Any:
        """What was made of this: a view, which is checked when it is read, or a copy."""
        if isinstance(found, CheckedArray) and np.may_share_memory(_bare(found), _bare(self)):
            return found
        check()
        return _bare(found) if isinstance(found, CheckedArray) else found

    def __getitem__(self, key: Any) -> Any:
        """As an array's."""
        key = _plain(key)
        found = self._or_plain(super().__getitem__(key), lambda: self._check_some(key))
        if isinstance(found, CheckedArray):
            found._check()
        return found

    def reshape(self, *args: Any, **kwargs: Any) -> Any:
        """As an array's."""
        return self._or_plain(super().reshape(*args, **kwargs), self._check)

    def ravel(self, *args: Any, **kwargs: Any) -> Any:
        """As an array's."""
        return self._or_plain(super().ravel(*args, **kwargs), self._check)

    def view(self, *args: Any, **kwargs: Any) -> Any:
        """As an array's."""
        found = super().view(*args, **kwargs)
        if not isinstance(found, CheckedArray):
            self._check()
        return found

    def __iter__(self) -> Any:
        """As an array's."""
        return (self[i] for i in range(len(self)))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Calculates with plain arrays."""
        out = kwargs.pop("out", None)
        given = {key: _plain(value) for key, value in kwargs.items()}
        if out is not None:
            given["out"] = tuple(_bare(each) for each in out)
        found = getattr(ufunc, method)(*map(_plain, inputs), **given)
        if out is None:
            return found
        return out[0] if len(out) == 1 else out

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Calls NumPy's functions with plain arrays, but for those that read nothing."""
        if func in _READ_NOTHING:
            return super().__array_function__(func, types, args, kwargs)
        plain = {key: _plain(value) for key, value in kwargs.items()}
        return func(*[_plain(value) for value in args], **plain)


_READ_NOTHING = {
    *(np.shape, np.ndim, np.size, np.shares_memory, np.may_share_memory, np.result_type),
    *(np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.iscomplexobj, np.isrealobj),
    *(np.reshape, np.ravel, np.transpose, np.swapaxes, np.moveaxis, np.squeeze, np.expand_dims),
    *(np.split, np.array_split),
}

_READERS = (
    "all any argmax argmin argpartition argsort astype byteswap choose clip compress conj "
    "conjugate copy cumprod cumsum dot dump dumps flatten item max mean min nonzero prod repeat "
    "round searchsorted std sum take tobytes tofile tolist trace var __array__ __bool__ "
    "__buffer__ __complex__ __contains__ __copy__ __deepcopy__ __dlpack__ __float__ __format__ "
    "__index__ __int__ __reduce__ __reduce_ex__ __repr__ __str__"
)


def _reader(name: str) -> Callable[..., Any]:
    method = getattr(np.ndarray, name)

    def read(self: CheckedArray, *args: Any, **kwargs: Any) -> Any:
        self._check()
        plain = {key: _plain(value) for key, value in kwargs.items()}
        return method(_bare(self), *map(_plain, args), **plain)

    read.__name__, read.__doc__ = name, "As an array's."
    return read


for _name in _READERS.split():
    if hasattr(np.ndarray, _name):
        setattr(CheckedArray, _name, _reader(_name))


def _bounds(array: Any) -> tuple[int, int]:
    """The addresses from which, and up to which, an array has its elements."""
    low = high = array.__array_interface__["data"][0]
    for count, stride in zip(array.shape, array.strides, strict=True):
        low += min((count - 1) * stride, 0)
        high += max((count - 1) * stride, 0)
    return low, high + array.itemsize


def _bare(array: Any) -> Any:
    return np.ndarray.view(array, np.ndarray) if isinstance(array, CheckedArray) else array


def _plain(value: Any) -> Any:
    if isinstance(value, CheckedArray):
        value._check()
        return _bare(value)
    if type(value) in (list, tuple):
        return type(value)(_plain(each) for each in value)
    return value


def part(array: Any, key: Any) -> Any:
    """A view of an array, with nothing checked before it is read."""
    return np.ndarray.__getitem__(array, key)


class _Copy:
    """Copies of all arrays of one rollout."""

    def __init__(self, arrays: Any, count: int) -> None:
        self.states = np.full(count, _NOT_YET, np.int8)
        self.leaves: list[Any] = []
        self.arrays = mapped(arrays, self._copy)

    def _copy(self, array: Any) -> Any:
        own = np.empty(array.shape, array.dtype)
        _poison(own)
        self.leaves.append(own)
        view = own.view(CheckedArray)
        view._states, view._address = self.states, own.__array_interface__["data"][0]
        view._row_bytes = own.strides[0]
        return view


class Watch:
    """What is handed out of arrays over time that are written again and again.

    Args:
        arrays: dicts and tuples of arrays, each with a row for each slot.
        count: the number of slots.
    """

    def __init__(self, arrays: Any, count: int) -> None:
        """Begins with no row stored."""
        self._arrays, self._count = arrays, count
        self._leaves: list[Any] = []
        mapped(arrays, self._leaves.append)
        self._now = _Copy(arrays, count)
        self._older: list[_Copy] = []

    @property
    def arrays(self) -> Any:
        """Copies, in the same structure, of the rollout that was begun last."""
        return self._now.arrays

    def begin(self) -> None:
        """Begins another rollout."""
        self._older.append(self._now)
        self._now = _Copy(self._arrays, self._count)

    def written(self, at: int) -> None:
        """Slot `at` is written from now on."""
        for copy in (*self._older, self._now):
            if copy.states[at] == _STORED:
                copy.states[at] = _OVER
                for leaf in copy.leaves:
                    _poison(leaf[at : at + 1])
        self._older = [copy for copy in self._older if (copy.states == _STORED).any()]

    def stored(self, at: int) -> None:
        """Slot `at` has what is to be handed out."""
        for leaf, copy in zip(self._leaves, self._now.leaves, strict=True):
            copy[at] = leaf[at]
        self._now.states[at] = _STORED


def _poison(array: Any) -> None:
    if array.dtype.kind in "fc":
        array[...] = np.nan
    elif array.dtype.kind == "b":
        array[...] = True
    else:
        array.view(np.uint8)[...] = 0xCD


def is_debugging() -> bool:
    """Whether arrays that are used too late are to raise."""
    return os.environ.get("ENVRING_DEBUG", "") not in ("", "0")
