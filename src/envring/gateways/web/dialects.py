# SPDX-License-Identifier: MIT
"""The two ways in which Remote Gymnasium's clients write: JSON and msgpack."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgpack
import numpy as np
from starlette.datastructures import Headers
from starlette.responses import Response

from envring.gateways.web import json_text

_MSGPACK = "application/x-msgpack"
_MOST_ITEMS = 1 << 16  # of a list: it is allocated when its length is read
_TEXT: dict[float | None, str] = {
    math.inf: '"Infinity"',
    -math.inf: '"-Infinity"',
    None: '"NaN"',
}


@dataclass(frozen=True)
class Dialect:
    """How messages are written.

    Attributes:
        media_type: of a body.
        loads: reads one; raises ValueError.
        dumps: writes what `json_text.plain` and `spaces.encode` make.
    """

    media_type: str
    loads: Callable[[bytes], Any]
    dumps: Callable[[Any], str | bytes]

    def reply(self, data: Any) -> Response:
        """A response."""
        return Response(self.dumps(data), media_type=self.media_type)


def _loads(data: bytes) -> Any:
    try:
        return msgpack.unpackb(
            data,
            ext_hook=_refuse,
            max_array_len=_MOST_ITEMS,
            max_map_len=_MOST_ITEMS,
            max_ext_len=0,
        )
    except (msgpack.UnpackException, RecursionError) as error:
        raise ValueError(f"it cannot be read: {type(error).__name__}") from None


def _refuse(code: int, _: bytes) -> Any:
    raise ValueError(f"the extension type {code} is not taken")


def _dumps(value: Any) -> bytes:
    if not json_text.is_finite(value):
        value = _spelled(value)
    packed: bytes = msgpack.packb(value, default=_listed)
    return packed


def _listed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, int):
        return float(value)  # of more than 64 bits
    raise TypeError(f"{type(value).__name__} cannot be written")


def _spelled(value: Any) -> Any:
    """Infinities and NaN as text."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return list(map(_spelled, value))
    if isinstance(value, Mapping):
        return {key: _spelled(each) for key, each in value.items()}
    return value


JSON = Dialect("application/json", json_text.loads, json_text.dumps)
STRICT_JSON = Dialect("application/json", json_text.loads, partial(json_text.dumps, numbers=_TEXT))
"""JSON by its standard: infinities and NaN are text."""
MSGPACK = Dialect(_MSGPACK, _loads, _dumps)


def dialect_of(method: str, headers: Headers) -> Dialect | None:
    """How a request is written and wants to be answered; None if it does not say."""
    written, wanted = headers.get("content-type", ""), headers.get("accept", "")
    if written.startswith((_MSGPACK, "application/msgpack")) or "msgpack" in wanted:
        return MSGPACK
    if "application/json" in wanted:
        return STRICT_JSON
    return JSON if method == "POST" else None
