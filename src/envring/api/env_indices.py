# SPDX-License-Identifier: MIT
"""Which envs a call is for."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex, TypeAlias

import numpy as np

Indices: TypeAlias = SupportsIndex | Iterable[SupportsIndex] | None


def env_ids(indices: Any, num_envs: int) -> list[int] | None:
    """The ids that indices name, in their order; None for all envs.

    Args:
        indices: an index, several, or None. Negative ones count from the end.
        num_envs: number of envs.

    Raises:
        TypeError: it is something else, such as a mask.
        ValueError: there is no such env, or one is named twice.
    """
    if indices is None:
        return None
    try:
        given = [indices] if isinstance(indices, (int, np.integer)) else list(indices)
        if any(isinstance(index, (bool, np.bool_)) for index in given):
            raise TypeError("a mask")
        numbers = [operator.index(index) for index in given]
    except TypeError as error:
        raise TypeError(
            f"indices must be None, an index or several indices of envs, got {indices!r:.100}."
        ) from error
    ids = [number + num_envs if number < 0 else number for number in numbers]
    if any(not 0 <= env_id < num_envs for env_id in ids) or len(set(ids)) != len(ids):
        raise ValueError(
            f"indices must be different indices of {num_envs} envs, got {indices!r:.100}."
        )
    return ids
