# SPDX-License-Identifier: MIT
"""Which envs a call is for."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex, TypeAlias

import numpy as np

from envring.errors import format_env_ids

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


def assert_whole(env_ids: Sequence[int], vectors: Sequence[tuple[int, int]]) -> None:
    """Refuses to choose some envs of a vector env without its others.

    Raises:
        ValueError: the ids name some of its envs only.
    """
    chosen = set(env_ids)
    for first, end in vectors:
        missing = [env_id for env_id in range(first, end) if env_id not in chosen]
        if 0 < len(missing) < end - first:
            raise ValueError(
                f"{format_env_ids(range(first, end))} are one vector env, which does everything as "
                f"a whole. Name {format_env_ids(missing)}, too, or none of them."
            )
