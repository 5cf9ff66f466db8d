# SPDX-License-Identifier: MIT
"""Arguments of a reset, checked as Gymnasium checks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def seeds(seed: Any, num_envs: int) -> list[int | None]:
    """One seed per env.

    Args:
        seed: None; an integer s, for s, s + 1, ...; or a sequence with one seed or None per env.
        num_envs: number of envs.

    Raises:
        ValueError: a sequence of another length.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + i for i in range(num_envs)]
    if len(seed) != num_envs:
        raise ValueError(
            f"If seeds are passed as a list the length must match num_envs={num_envs} but got "
            f"length={len(seed)}."
        )
    return [int(s) if isinstance(s, np.integer) else s for s in seed]


def split(
    options: Any, num_envs: int, per_env: bool
) -> tuple[np.ndarray[Any, Any] | None, dict[str, Any] | list[dict[str, Any] | None] | None]:
    """Takes `reset_mask` out of reset options, whose dict stays as it is.

    Args:
        options: what `reset` was given.
        num_envs: number of envs.
        per_env: whether they are one dict or None per env.

    Returns:
        The mask, bool (num_envs,), or None; and the options for the envs.

    Raises:
        TypeError: the mask is not a bool array, or an env's options are not a dict.
        ValueError: the mask's shape is wrong, or it is all False; there are not options for each
            env.
    """
    if per_env:
        return None, _one_per_env(options, num_envs)
    if options is None or "reset_mask" not in options:
        return None, options
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray):
        raise TypeError(f"`options['reset_mask']` must be a numpy array, got {type(mask)}")
    if mask.shape != (num_envs,):
        raise ValueError(
            f"`options['reset_mask']` must have shape `({num_envs},)`, got {mask.shape}"
        )
    if mask.dtype != np.bool_:
        raise TypeError(f"`options['reset_mask']` must have `dtype=np.bool_`, got {mask.dtype}")
    if not np.any(mask):
        raise ValueError(
            "`options['reset_mask']` must contain a boolean array with at least one True value, "
            f"got reset_mask={mask}"
        )
    return mask, {key: value for key, value in options.items() if key != "reset_mask"}


def _one_per_env(options: Sequence[Any], num_envs: int) -> list[dict[str, Any] | None]:
    if len(options) != num_envs:
        raise ValueError(
            f"If options are passed as a list the length must match num_envs={num_envs} but got "
            f"length={len(options)}."
        )
    for env_id, each in enumerate(options):
        if each is not None and not isinstance(each, dict):
            raise TypeError(f"options[{env_id}] must be a dict or None, got {each!r:.100}.")
    return list(options)
