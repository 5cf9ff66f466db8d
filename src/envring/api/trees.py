# SPDX-License-Identifier: MIT
"""Values in the structure of Dict and Tuple spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def mapped(value: Any, function: Callable[..., Any], path: tuple[Any, ...] | None = None) -> Any:
    """The same structure, with `function` of each leaf in its place.

    Args:
        value: a leaf, or a dict or tuple of such values.
        function: takes a leaf, and the keys that lead to it if `path` is given.
        path: () to give the keys.
    """
    if isinstance(value, dict):
        return {key: mapped(each, function, _behind(path, key)) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(mapped(each, function, _behind(path, i)) for i, each in enumerate(value))
    return function(value) if path is None else function(value, path)


def _behind(path: tuple[Any, ...] | None, key: Any) -> tuple[Any, ...] | None:
    return None if path is None else (*path, key)
