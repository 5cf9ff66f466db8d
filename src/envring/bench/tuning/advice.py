# SPDX-License-Identifier: MIT
"""The output of `envring tune`: the line to paste, how certain it is, and what was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envring.bench.reporting import wording
from envring.bench.tuning.settings import DEFAULTS, SIZES, Outcome, Tried

if TYPE_CHECKING:
    from rich.console import Console

_PARTS = {
    "size": "envs in a batch",
    "workers": "number of workers",
    "waiting": "spinning and pinning",
    "final": "the best two and the defaults, anew",
}


def sentences(outcome: Outcome) -> list[str]:
    """How certain the outcome is, and hints, one per line."""
    lines = []
    if outcome.settings == DEFAULTS:
        lines.append("no difference seen: keep the defaults")
    elif outcome.lead is None:
        lines.append("the defaults could not be measured")
    else:
        lines.append(
            f"{wording.times(outcome.lead)} as fast as the defaults "
            f"(95 %: {wording.ratio_reach(outcome.lead)})"
        )
    ahead = outcome.ahead
    if outcome.runner_up not in (None, DEFAULTS) and ahead is not None:
        unsure = "; no difference seen" if ahead.low <= 1 <= ahead.high else ""
        lines.append(
            f"{wording.times(ahead)} as fast as the runner-up, {outcome.runner_up.label} "
            f"(95 %: {wording.ratio_reach(ahead)}{unsure})"
        )
    if outcome.of_ceiling is not None and not outcome.sleeps:
        lines.append(f"{outcome.of_ceiling:.2f} of what bare loops on all cores would reach")
    if outcome.sleeps:
        lines.append("these envs mostly sleep or wait: they gain from more workers than cores")
    inside = outcome.in_process
    if inside is not None and inside.low > 1:
        lines.append(
            f"hint: num_workers=0 is {wording.times(inside)} as fast, but steps the envs in your "
            "own process: nothing is isolated"
        )
    seen = {each.label for each in outcome.tried if each.rate is not None}
    missed = {each.label for each in outcome.tried} - seen
    if missed:
        lines.append(
            f"{len(missed)} of {len(missed | seen)} candidates could not be measured (see above); "
            "if they were only slow to start, give more --seconds"
        )
    return lines


def show(console: Console, outcome: Outcome) -> None:
    """Print what was tried, the line to paste and how certain it is."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    for part in dict.fromkeys(each.part for each in outcome.tried):
        sizes = part == "size"
        found = Table(
            title=Text(_PARTS[part], style="bold"),
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        found.add_column("tried", overflow="fold")
        base = f"x {SIZES[0]} envs" if sizes else "x defaults"
        for column in (*(["envs"] if sizes else []), "env steps/s", base, "95 %"):
            found.add_column(column, justify="right", no_wrap=True)
        for each in (tried for tried in outcome.tried if tried.part == part):
            found.add_row(Text(each.label), *_figures(each))
        console.print(found)
        failed = {each.label: each.failure for each in outcome.tried if each.part == part}
        for label, failure in failed.items():
            if failure:
                console.print(Text(f"{label}: {failure}", style="red"))
    console.print(Text("\n" + outcome.code(), style="bold green"), soft_wrap=True)
    console.print()
    for text in sentences(outcome):
        console.print(Text(text))


def _figures(tried: Tried) -> list[str]:
    return [
        *([str(tried.num_envs)] if tried.part == "size" else []),
        wording.rate(tried.rate),
        wording.times(tried.ratio),
        wording.ratio_reach(tried.ratio),
    ]
