# SPDX-License-Identifier: MIT
"""Spaces as `dm_env.specs`, and dicts as namedtuples."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from gymnasium import Space, spaces

try:
    from dm_env import specs
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "dm_env's interface of envs needs it: pip install 'envring[dm]'"
    ) from error

_INT32 = np.iinfo(np.int32)


@lru_cache(maxsize=256)
def _type(name: str, keys: tuple[str, ...]) -> Any:
    fields = [re.sub(r"\W", "_", key) for key in keys]
    return namedtuple(re.sub(r"\W", "_", name), fields, rename=True)


def named(name: str, values: Mapping[str, Any]) -> Any:
    """A dict, and dicts in it, as namedtuples. Keys that are not names become `_0`, `_1`, ..."""
    items = [
        named(key, value) if isinstance(value, dict) else value for key, value in values.items()
    ]
    return _type(name, tuple(map(str, values)))(*items)


def spec(name: str, space: Space[Any]) -> Any:
    """A space as a spec; dicts as namedtuples of specs, tuples as tuples of them."""
    if isinstance(space, spaces.Dict):
        return named(name, {key: spec(str(key), each) for key, each in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return tuple(spec(f"{name}_{i}", each) for i, each in enumerate(space.spaces))
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return specs.DiscreteArray(int(space.n), dtype=space.dtype, name=name)
    low, high = _bounds(space)
    if low is None or space.shape is None:
        return specs.Array(space.shape or (), space.dtype or object, name=name)
    return specs.BoundedArray(space.shape, space.dtype, low, high, name=name)


def _bounds(space: Space[Any]) -> tuple[Any, Any]:
    if isinstance(space, spaces.Box):
        return space.low, space.high
    if isinstance(space, spaces.Discrete):
        return space.start, space.start + space.n - 1
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    if isinstance(space, spaces.MultiBinary):
        return 0, 1
    return None, None


def state_spec(observation_space: Space[Any]) -> Any:
    """The spec of a state, without what infos may add to it."""
    env_id = specs.BoundedArray((), np.int32, _INT32.min, _INT32.max, name="env_id")
    whose = {"env_id": env_id, "players": {"env_id": env_id}}
    if isinstance(observation_space, spaces.Dict):
        seen = {str(key): spec(str(key), each) for key, each in observation_space.spaces.items()}
    else:
        seen = {"obs": spec("obs", observation_space)}
    return named("State", whose | seen)
