# SPDX-License-Identifier: MIT
"""What is shown of envs that are stepped: lines, or a live view with pictures, which needs rich."""

from __future__ import annotations

import functools
import itertools
from types import TracebackType
from typing import TYPE_CHECKING

import click
import numpy as np

from envring.demo.pictures import half_blocks
from envring.demo.playing import Count
from envring.pool.stats import Stats

if TYPE_CHECKING:
    from rich.style import Style
    from rich.text import Text

_UPPER_HALF = "▀"
_EVERY = 1.0  # seconds between two lines


class Lines:
    """Prints a line each second, for pipes and files."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._next = 0.0

    def __enter__(self) -> Lines:
        click.echo(self._title)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def show(self, seconds: float, count: Count, stats: Stats, whole: np.ndarray | None) -> None:
        """Print, if it is time to."""
        if seconds >= self._next:
            click.echo(f"{seconds:6.1f} s  {rates(count, stats)}")
            self._next = seconds + _EVERY


class Screen(Lines):
    """Shows rates and a picture on the whole terminal."""

    def __enter__(self) -> Screen:
        from rich.live import Live

        self._live = Live(screen=True, auto_refresh=False)
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def show(self, seconds: float, count: Count, stats: Stats, whole: np.ndarray | None) -> None:
        """Show what there is now."""
        size = self._live.console.size
        self._live.update(
            view(self._title, count, stats, whole, size.width, size.height), refresh=True
        )


def view(
    title: str, count: Count, stats: Stats, whole: np.ndarray | None, columns: int, lines: int
) -> Text:
    """The live view, on so many columns and lines."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop", end="")
    text.append(title, "bold")
    text.append("   Ctrl-C ends it\n", "dim")
    text.append(rates(count, stats), "green")
    if whole is None:
        return text
    for line in half_blocks(whole, columns, max(1, lines - 2)):
        text.append("\n")
        for colours, group in itertools.groupby(line):
            text.append(_UPPER_HALF * len(list(group)), _style(colours))
    return text


@functools.lru_cache(maxsize=1 << 14)
def _style(colours: tuple[int, ...]) -> Style:
    from rich.color import Color
    from rich.style import Style

    return Style(color=Color.from_rgb(*colours[:3]), bgcolor=Color.from_rgb(*colours[3:]))


def rates(count: Count, stats: Stats) -> str:
    """Rates in words, and what the workers did meanwhile."""
    text = f"{count.rate:,.0f} env steps/s   {count.steps:,} steps, {count.episodes:,} episodes"
    shares = [each.step_share for each in stats.workers if each.step_share is not None]
    if shares:
        text += f"   workers step {sum(shares) / len(shares):.0%} of the time"
    return text


def summary(count: Count) -> str:
    """All of it in a line."""
    text = f"{count.steps:,} steps at {count.mean_rate:,.0f} env steps/s"
    if count.episodes:
        text += f", {count.episodes:,} episodes of {count.steps / count.episodes:.0f} steps"
    return text
