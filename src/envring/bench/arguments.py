# SPDX-License-Identifier: MIT
"""What the commands take: lists of numbers, of names and of durations; needs click."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import click

_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)\s*(us|µs|ms|s)")


def duration(text: str) -> float:
    """The seconds that a text such as `300us` means; only 0 needs no unit.

    Raises:
        click.BadParameter: if it is no duration.
    """
    if text == "0":
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no duration; write 0, 300us, 1.5ms or 0.1s")
    return float(found[1]) * _UNITS[found[2]]


def number(at_least: int) -> Callable[[str], int]:
    """Reads an integer that is not below `at_least`."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < at_least:
            raise click.BadParameter(f"{text!r} is no number from {at_least} on")
        return int(text)

    return read


def one(
    each: Callable[[str], Any],
) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A callback for an option whose text `each` reads."""
    return lambda ctx, param, text: None if text is None else each(text.strip())


def many(*names: str, each: Callable[[str], Any], **more: Any) -> Callable[[Any], Any]:
    """A click option that takes several values, as `--envs 8,64` or `--envs 8 --envs 64`."""

    def read(ctx: click.Context, param: click.Parameter, texts: Iterable[str]) -> tuple[Any, ...]:
        found = [each(part.strip()) for text in texts for part in text.split(",")]
        # Each once: who says it twice does not want it measured twice.
        return tuple(dict.fromkeys(found))

    return click.option(*names, multiple=True, callback=read, **more)
