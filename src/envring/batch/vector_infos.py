# SPDX-License-Identifier: MIT
"""The infos of several vector envs as those of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envring.errors import InfoError, format_env_ids


def merge(parts: Sequence[tuple[range, Any]], num_rows: int) -> dict[str, Any]:
    """Batched infos over all rows.

    Args:
        parts: of each vector env: its rows, and its infos, batched over these as Gymnasium does
            it: an array or a dict per key. Whatever else a key has, each row has. A mask under
            `_key` says which rows have it, without one all.
        num_rows: number of all rows.

    Returns:
        The same over all rows. A key has a mask where a vector env gave one, or not all have it.

    Raises:
        InfoError: the infos do not fit each other; it names the key and the envs.
    """
    for rows, infos in parts:
        if not isinstance(infos, Mapping):
            raise InfoError(
                f"The vector env of {format_env_ids(rows)} returned infos of type "
                f"{type(infos).__name__}. Return a dict, {{}} where there is nothing to tell."
            )
    merged: dict[str, Any] = {}
    keys = dict.fromkeys(key for _, infos in parts for key in infos)
    masks = {f"_{key}" for key in keys}
    for key in keys:
        if key in masks:
            continue
        have = [(rows, infos) for rows, infos in parts if key in infos]
        masked = len(have) < len(parts) or any(f"_{key}" in infos for _, infos in have)
        if all(isinstance(infos[key], Mapping) for _, infos in have):
            merged[key] = merge([(rows, infos[key]) for rows, infos in have], num_rows)
        mask = np.zeros(num_rows, np.bool_)
        for rows, infos in have:
            try:
                if key not in merged or not isinstance(merged[key], dict):
                    _put(merged, key, _column(infos[key], len(rows)), rows, num_rows)
                mask[rows.start : rows.stop] = infos.get(f"_{key}", True)
            except Exception as error:
                raise InfoError(
                    f"Infos do not batch: {key!r} of {format_env_ids(rows)} does not fit the "
                    f"others ({type(error).__name__}: {error}). Let all vector envs give one type "
                    "and shape to each key, and its mask to `_key`."
                ) from error
        if masked:
            merged[f"_{key}"] = mask
    return merged


def _column(value: Any, count: int) -> np.ndarray[Any, Any]:
    """A value for each of so many rows."""
    if isinstance(value, np.ndarray) and value.shape[:1] == (count,):
        return value
    plain = isinstance(value, bool | int | float | np.number | np.bool_)
    column = np.empty(count, type(value) if plain else object)
    if isinstance(value, list | tuple) and len(value) == count:
        for row, each in enumerate(value):
            column[row] = each
    else:
        for row in range(count):
            column[row] = value
    return column


def _put(merged: dict[str, Any], key: str, column: Any, rows: range, total: int) -> None:
    array = merged.get(key)
    shape = (total, *column.shape[1:])
    if array is None:
        empty = None if column.dtype == object else np.zeros((), column.dtype)[()]
        array = merged[key] = np.full(shape, empty, column.dtype)
    elif array.dtype != column.dtype:
        array = merged[key] = array.astype(np.promote_types(array.dtype, column.dtype))
    if array.shape != shape:
        raise ValueError(f"shape {column.shape[1:]} where others have {array.shape[1:]}")
    array[rows.start : rows.stop] = column
