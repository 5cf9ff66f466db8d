# SPDX-License-Identifier: MIT
"""Arrays that say so when they are used after their memory was written again (ENVRING_DEBUG=1)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from envring.errors import StaleViewError


class CheckedArray(np.ndarray[Any, np.dtype[Any]]):
    """A view of slots that checks, whenever NumPy is to read it, that they are still the same."""

    _epochs: Any = None  # of its slots, as they are now
    _seen: Any = None  # as they were

    def __array_finalize__(self, source: Any) -> None:
        """Views of a view are checked as it is."""
        self._epochs = getattr(source, "_epochs", None)
        self._seen = getattr(source, "_seen", None)

    def _check(self) -> None:
        if self._epochs is not None and not np.array_equal(self._epochs, self._seen):
            raise StaleViewError(
                "This array is a view of a rollout whose memory was written again since. Use the "
                "arrays of a rollout before the next one begins, or copy them."
            )

    def __getitem__(self, key: Any) -> Any:
        """As an array's."""
        self._check()
        return super().__getitem__(key)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Calculates with plain arrays."""
        return getattr(ufunc, method)(*map(_plain, inputs), **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Calls NumPy's functions with plain arrays."""
        plain = {key: _plain(value) for key, value in kwargs.items()}
        return func(*[_plain(value) for value in args], **plain)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """A plain array."""
        self._check()
        return np.ndarray.__array__(self.view(np.ndarray), *args, **kwargs)

    def __iter__(self) -> Any:
        """As an array's."""
        self._check()
        return super().__iter__()

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        """A plain array."""
        self._check()
        return self.view(np.ndarray).copy(*args, **kwargs)

    def tolist(self) -> Any:
        """As an array's."""
        self._check()
        return super().tolist()

    def __repr__(self) -> str:
        """As an array's."""
        self._check()
        return repr(self.view(np.ndarray))


def _plain(value: Any) -> Any:
    if isinstance(value, CheckedArray):
        value._check()
        return value.view(np.ndarray)
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(each) for each in value)
    return value


def is_debugging() -> bool:
    """Whether arrays that are used too late are to raise."""
    return os.environ.get("ENVRING_DEBUG", "") not in ("", "0")


def checked(array: Any, epochs: Any) -> Any:
    """The array, or one that is checked if ENVRING_DEBUG is set.

    Args:
        array: over some slots.
        epochs: how often each of them was written: a view that changes.
    """
    if not is_debugging():
        return array
    view = array.view(CheckedArray)
    view._epochs, view._seen = epochs, epochs.copy()
    return view
