# SPDX-License-Identifier: MIT
"""The option types of the commands: lists of numbers, names and durations; needs click."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import click

_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)\s*(us|µs|ms|s)")


def duration(text: str) -> float:
    """Convert a text such as `300us` to seconds; only 0 needs no unit.

    Raises:
        click.BadParameter: if it is not a duration.
    """
    if text == "0":
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a duration; write 0, 300us, 1.5ms or 0.1s")
    return float(found[1]) * _UNITS[found[2]]


def number(at_least: int) -> Callable[[str], int]:
    """Make a parser for integers of at least `at_least`."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < at_least:
            raise click.BadParameter(f"{text!r} is not an integer of at least {at_least}")
        return int(text)

    return read


def one(
    each: Callable[[str], Any],
) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Make a callback for an option whose text `each` parses."""
    return lambda ctx, param, text: None if text is None else each(text.strip())


def many(*names: str, each: Callable[[str], Any], **more: Any) -> Callable[[Any], Any]:
    """A click option that takes several values, as `--envs 8,64` or `--envs 8 --envs 64`."""

    def read(ctx: click.Context, param: click.Parameter, texts: Iterable[str]) -> tuple[Any, ...]:
        found = [each(part.strip()) for text in texts for part in text.split(",")]
        # Each value once, even if it was given twice.
        return tuple(dict.fromkeys(found))

    return click.option(*names, multiple=True, callback=read, **more)
