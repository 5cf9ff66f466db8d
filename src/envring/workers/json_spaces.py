# SPDX-License-Identifier: MIT
"""Spaces that a worker in another language describes as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from envring.errors import SpaceDataError

_MOST_BYTES = 1 << 24


def described(told: dict[str, Any], num_envs: int) -> dict[str, Any]:
    """What such a worker told of its envs, as others tell it.

    Args:
        told: `spaces_json` is an object with `observation_space` and `action_space`, which all of
            its envs have. `{"type": "Box", "dtype": "float32", "shape": [4], "low": ...,
            "high": ...}`, where a bound is a number, null for none, or a list of these; or
            `{"type": "Discrete", "n": 2, "start": 0}`. `restarts`: whether it tells of episodes
            that were lost, and knows of `restart_every`.
        num_envs: how many envs it has.

    Raises:
        SpaceDataError: it is something else.
    """
    text = told["spaces_json"]
    try:
        if not isinstance(text, str) or len(text) > _MOST_BYTES:
            raise ValueError("it is not a text, or too long")
        spaces = json.loads(text)
        kinds = {name: _space(spaces[name]) for name in ("observation_space", "action_space")}
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise SpaceDataError(
            f"The JSON of a worker's spaces is not as it should be: {error!r}"
        ) from None
    nothing = dict.fromkeys(("vectors", "render_mode", "spec", "gym", "numpy"))
    found = {f"{name}s": ([kind], [0] * num_envs) for name, kind in kinds.items()}
    return {**nothing, "metadata": {}, **told, **found}


def _space(data: Any) -> tuple[Any, ...]:
    match data:
        case {"type": "Discrete", "n": int() as n}:
            return "discrete", n, int(data.get("start", 0)), "<i8"
        case {"type": "Box", "dtype": str() as name, "shape": list() as shape}:
            dtype, sizes = np.dtype(name), tuple(map(int, shape))
            if dtype.kind not in "iuf" or any(size < 0 for size in sizes):
                raise ValueError("a Box has numbers and a shape")
            low = _bound(data.get("low"), -math.inf, dtype, sizes)
            return "box", low, _bound(data.get("high"), math.inf, dtype, sizes), dtype.str, sizes
    raise ValueError(f"there is no such space: {data!r:.200}")


def _bound(given: Any, nothing: float, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        nothing = limits.min if nothing < 0 else limits.max
    flat = [nothing if each is None else each for each in _flat(given)]
    values = np.array(flat[0] if given is None or not isinstance(given, list) else flat, dtype)
    return values if values.shape == () else values.reshape(shape)


def _flat(given: Any) -> list[Any]:
    if not isinstance(given, list):
        return [given]
    return [value for each in given for value in _flat(each)]
