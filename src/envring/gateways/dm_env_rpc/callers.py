# SPDX-License-Identifier: MIT
"""Who calls over dm_env_rpc, and what remote-gym's client is told so that its spaces are right."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np
from gymnasium import spaces

from envring.errors import SpaceDataError
from envring.gateways.dm_env_rpc.tensors import CODES, DTYPES, STRING, Spec

OURS = ("envring", "1")
"""Metadata of this project's own client: it reads spaces exactly, beside their specs."""

_INT64, _DOUBLE = CODES[np.dtype("int64")], CODES[np.dtype("<f8")]
_WIDEST = (1 << 63) - 1  # that MultiDiscrete has
_EXACT = 1 << 53  # integers up to here are exact as DOUBLE


class Caller(Enum):
    """Who calls; bounds of a Box hold for actions of `PLAIN` callers alone."""

    PLAIN = "dm_env_rpc"
    REMOTE_GYM = "remote-gym"
    OURS = "envring"


def for_remote_gym(spec: Spec, space: spaces.Space[Any]) -> Spec:
    """The spec from which remote-gym's client makes a space with the values of this one.

    From integers, but for arrays of bytes, it makes a MultiDiscrete from 0 on, whose counts it
    computes in their own data type, and whose shape it takes from the bounds: of one element, none.
    From other numbers it makes a Box. So integers that it would misread travel as INT64 or DOUBLE.

    Raises:
        SpaceDataError: there is none.
    """
    low, high = spec.low, spec.high
    if spec.code == STRING or low is None or high is None or not low.size:
        raise SpaceDataError(f"remote-gym's client has no space such as {space!s:.200}.")
    dtype = DTYPES[spec.code]
    if dtype.kind == "f" or (dtype == np.uint8 and spec.shape):
        return spec
    most = int(high.max())
    if not low.any() and (low.size > 1 or not spec.shape):
        if most < min(np.iinfo(dtype).max, _WIDEST):
            return spec
        if most < _WIDEST:
            return _as(_INT64, spec)
    if max(-int(low.min()), most) <= _EXACT:
        return _as(_DOUBLE, spec)
    raise SpaceDataError(
        f"remote-gym's client cannot hold the integers of {space!s:.200}: it takes them from 0 on, "
        "or as float64, up to 2**53. Give the env narrower bounds, or use envring's client."
    )


def _as(code: int, spec: Spec) -> Spec:
    assert spec.low is not None
    assert spec.high is not None
    low, high = spec.low.astype(DTYPES[code]), spec.high.astype(DTYPES[code])
    return replace(spec, code=code, low=low, high=high, per_element=code == _INT64)
