# SPDX-License-Identifier: MIT
"""JSON: read with bounds, and written so that infinities and NaN are not lost by accident."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Mapping, Set
from functools import cache
from typing import Any

import numpy as np

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

LONGEST = 1 << 24  # characters of a text that is read
_MOST_CONTAINERS = 1 << 17  # lists and objects of a text: each takes far more memory than text
_DEEPEST = 200  # of what is written
_NUMERIC = b"[],.-0123456789"  # all that is in lists of numbers without exponents
_TINY = b"0.0000"  # from here on the standard library writes an exponent

BARE: dict[float | None, str] = {math.inf: "Infinity", -math.inf: "-Infinity", None: "NaN"}
"""As JavaScript and Python write them; Python's `json` reads that."""
HUGE: dict[float | None, str] = {math.inf: "1e999", -math.inf: "-1e999"}
"""Valid JSON, which `JSON.parse` and Python's `json` read as infinities. NaN is refused."""


class NotJson(ValueError):
    """A value that cannot be written as JSON."""


def loads(text: str | bytes) -> Any:
    """Reads JSON; Infinity and NaN, too.

    Raises:
        ValueError: it is not JSON, or too long or too deep.
    """
    if isinstance(text, str):
        containers = text.count("[") + text.count("{")
    else:
        containers = text.count(b"[") + text.count(b"{")
    if len(text) > LONGEST or containers > _MOST_CONTAINERS:
        raise ValueError("the text is too long")
    if orjson is not None:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # it may have Infinity in it, or an integer of more than 64 bits
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the text is nested too deeply") from None


def dumps(value: Any, numbers: Mapping[float | None, str] = BARE) -> str:
    """Writes what `plain` or `spaces.encode` made, without blanks.

    Args:
        value: of dicts with text as keys, lists, arrays, numbers and text.
        numbers: how infinities are spelled, and NaN by None.

    Raises:
        NotJson: there is a NaN, and no spelling for it.
    """
    if orjson is not None:
        # of an integer of more than 64 bits, half of a surrogate pair
        with contextlib.suppress(TypeError):
            text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
            if b"null" not in text or is_finite(value):  # else there is an infinity or NaN
                return text.decode()
    return spell(value, numbers, (",", ":"))


def spell(
    value: Any, numbers: Mapping[float | None, str], separators: tuple[str, str] = (", ", ": ")
) -> str:
    """Writes JSON with the standard library's spelling; see `dumps`."""
    if type(value) is float and math.isfinite(value):
        return repr(value)
    if orjson is not None and type(value) in (list, np.ndarray):
        with contextlib.suppress(TypeError):
            text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
            # else it may spell it in another way
            if not text.translate(None, _NUMERIC) and _TINY not in text:
                return text.replace(b",", separators[0].encode()).decode()
    try:
        return _encoder(separators).encode(value)
    except ValueError:
        return _spelled(value, numbers, separators)


@cache
def _encoder(separators: tuple[str, str]) -> json.JSONEncoder:
    return json.JSONEncoder(allow_nan=False, separators=separators, default=_listed)


def _listed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _spelled(value: Any, numbers: Mapping[float | None, str], separators: tuple[str, str]) -> str:
    comma, colon = separators
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        spelled = numbers.get(None if math.isnan(value) else value)
        if spelled is None:
            raise NotJson(f"{value} cannot be written as JSON")
        return spelled
    if isinstance(value, list):
        return f"[{comma.join(_spelled(each, numbers, separators) for each in value)}]"
    if isinstance(value, dict):
        items = (
            f"{json.dumps(key)}{colon}{_spelled(each, numbers, separators)}"
            for key, each in value.items()
        )
        return f"{{{comma.join(items)}}}"
    return json.dumps(value)


def is_finite(value: Any) -> bool:
    """Whether no float in it is infinite or NaN."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, np.ndarray):
        return value.dtype.kind != "f" or bool(np.isfinite(value).all())
    if isinstance(value, list):
        return all(map(is_finite, value))
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    return True


def array(value: Any) -> Any:
    """An array as `dumps` writes it exactly: floats of 64 bits; a number if it has no axes."""
    given = np.asarray(value)
    if given.dtype.kind == "f":
        given = given.astype(np.float64, copy=False)
    if given.ndim == 0 or given.size < 64:  # lists of few numbers are faster than arrays
        return given.tolist()
    return np.ascontiguousarray(given, given.dtype.newbyteorder("="))


def plain(value: Any, depth: int = 0) -> Any:
    """What an env says in an info, as JSON can say it: other objects become their `repr`.

    Raises:
        NotJson: it is nested too deeply.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is dict and not value:
        return value
    if depth > _DEEPEST:
        raise NotJson("an info is nested too deeply")
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
            return array(value)
        return plain(value.tolist(), depth + 1) if value.dtype.kind in "OU" else repr(value)
    if isinstance(value, str | int | float):
        kind = next(each for each in (str, int, float) if isinstance(value, each))
        return kind(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | Set) and isinstance(value, Iterable):
        return [plain(each, depth + 1) for each in value]
    return repr(value)
