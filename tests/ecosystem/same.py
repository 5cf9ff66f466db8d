# SPDX-License-Identifier: MIT
"""Whether values are the same: types, dtypes, order of keys and every bit."""

from __future__ import annotations

from typing import Any

import numpy as np


def difference(ours: Any, theirs: Any, at: str = "") -> str:
    """Where two values differ; "" if they do not."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if list(ours) != list(theirs):
            return f"{at}: keys {list(ours)}, not {list(theirs)}"
        pairs = [(f"{at}.{key}", ours[key], theirs[key]) for key in theirs]
    elif isinstance(theirs, list | tuple) and isinstance(ours, list | tuple):
        if len(ours) != len(theirs):
            return f"{at}: {len(ours)} items, not {len(theirs)}"
        pairs = [(f"{at}[{i}]", *both) for i, both in enumerate(zip(ours, theirs, strict=True))]
    elif type(ours) is not type(theirs):
        return f"{at}: {type(ours).__name__} {ours!r}, not {type(theirs).__name__} {theirs!r}"
    elif isinstance(theirs, np.ndarray | np.generic):
        same = ours.dtype == theirs.dtype and ours.shape == theirs.shape
        if not same or ours.tobytes() != theirs.tobytes():
            return f"{at}: {ours!r}, not {theirs!r}"
        return ""
    else:
        return "" if ours == theirs else f"{at}: {ours!r}, not {theirs!r}"
    return next(filter(None, (difference(a, b, where) for where, a, b in pairs)), "")
