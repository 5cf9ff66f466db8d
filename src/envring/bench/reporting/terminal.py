# SPDX-License-Identifier: MIT
"""Tables for the terminal; needs rich."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import CellResult
from envring.bench.plan.cells import OURS
from envring.bench.reporting import summary, wording
from envring.bench.reporting.compare import COLUMNS, Verdict, conclusion, split

_GAP = 2  # blanks between two columns
_ENDLESS = 1000
_SLIM = 13  # characters of such a column, so that they fit a terminal of 80
_ASIDE = 4  # so many breakdowns or fewer are columns
_MANY = 3  # so many cells or more are summed up in one table
_PADDING = (0, 1, 0, 0)
_MARKS = {"ahead": "bold red", "even": "yellow", "behind": "", "apart": "dim", "own": ""}
_WORDS = {"faster": "bold green", "slower": "bold red"}


def progress(console: Console) -> Progress:
    """A progress bar with an estimate, refreshed between slices by the code that advances it.

    A thread that refreshes it would compete with what is measured.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
    )


def line(result: CellResult, baseline: str = "async") -> str:
    """One line about a finished cell, to be printed while the next one runs."""
    ours = result.rate(OURS)
    parts = []
    if ours is not None:
        title = wording.peer_title(result.cell, OURS)
        parts.append(f"{title} {wording.short(ours.median)} env steps/s")
        if (ratio := result.ratio_interval(OURS, baseline)) is not None:
            parts.append(f"{wording.times(ratio)} {wording.brief(baseline)}")
        if (ceiling := result.of_ceiling(OURS)) is not None:
            parts.append(f"{wording.fraction(ceiling)} of the ceiling")
    parts += [f"{peer} FAILED" for peer in result.failures]
    return f"{wording.heading(result.cell)}: {', '.join(parts) or 'no figure'}"


def table(
    result: CellResult, baseline: str = "async", width: int = 100, wide: bool = False
) -> Table:
    """The rich table of one cell: a row for each contestant, with as many columns as fit.

    Args:
        result: The cell.
        baseline: The peer whose rate the others are divided by.
        width: How many characters the table may take; the last columns are dropped to fit.
        wide: Whether to show every column, even if the table gets wider.
    """
    shown = [each for each in wording.columns(result, baseline) if wide or not each.wide]
    columns, rows = wording.rows(result, shown)
    found = _fitted(
        ["peer", *(each.title for each in columns)],
        [[wording.peer_title(result.cell, peer), *texts] for peer, texts in rows],
        _ENDLESS if wide else width,
        styles=["bold green" if peer == OURS else "" for peer, _ in rows],
    )
    # Text, not str: an error may hold brackets, which are markup in a str.
    found.title = Text(wording.heading(result.cell), style="bold")
    found.title_justify = "left"
    found.caption = Text("\n".join(wording.notes(result)), style="dim")
    found.caption_justify = "left"
    return found


def _fitted(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    styles: Sequence[str] = (),
    left: Sequence[str] = (),
) -> Table:
    """A table of the first columns, as many as fit; those in `left` are left-aligned."""
    found = Table(box=SIMPLE_HEAD, padding=_PADDING, pad_edge=False)
    kept, room = 0, width
    for index, head in enumerate(heads):
        room -= _GAP + max(map(cell_len, (head, *(row[index] for row in rows))))
        if room < 0 and index:
            break
        side: JustifyMethod = "right" if index and head not in left else "left"
        found.add_column(head, justify=side, no_wrap=True)
        kept += 1
    for row, style in zip_longest(rows, styles, fillvalue=""):
        found.add_row(*(Text(text) for text in row[:kept]), style=str(style) or None)
    return found


def overview(document: Document, baseline: str = "async", width: int = 100) -> Table:
    """A row for each cell: envring beside the baseline, the ceiling, the best rival and Sync."""
    rows, styles = [], []
    for result in document.cells:
        ours = OURS
        rival = summary.best_rival(result)
        over = result.ratio_interval(ours, rival) if rival else None
        styles.append(_MARKS[summary.standing(result, rival)] if rival else "")
        rows.append(
            [
                wording.heading(result.cell),
                wording.rate(result.rate(ours)),
                wording.times(result.ratio_interval(ours, baseline)),
                wording.fraction(result.of_ceiling(ours)),
                rival or wording.MISSING,
                wording.times(over),
                wording.ratio_reach(over),
                wording.times(result.ratio_interval(ours, "sync")),
            ]
        )
    heads = ["RingVectorEnv in", "steps/s", f"x {wording.brief(baseline)}", "of ceiling"]
    heads += ["best rival", "x it", "95 %", "x Sync"]
    return _fitted(heads, rows, width, styles, left=["best rival"])


def breakdown(document: Document) -> Table | None:
    """Where the time of a step goes; None if it was not measured."""
    heads, rows = wording.breakdown_table(document)
    if len(rows) > _ASIDE:
        return _fitted(heads, rows, _ENDLESS)
    # Few are columns with wrapped titles: a row of all parts is wider than a terminal.
    found = Table(box=SIMPLE_HEAD, padding=_PADDING, pad_edge=False)
    found.add_column("share of a step")
    for row in rows:
        found.add_column(Text(row[0]), justify="right", max_width=_SLIM)
    for index, head in enumerate(heads[1:], 1):
        found.add_row(head, *(Text(row[index]) for row in rows))
    return found if rows else None


def show(console: Console, document: Document, baseline: str = "async", wide: bool = False) -> None:
    """Print every cell's table, the losses, the missing peers, and the machine."""
    for result in document.cells:
        _print(console, table(result, baseline, console.width, wide))
        console.print()
    if len(document.cells) >= _MANY:
        _print(console, overview(document, baseline, _ENDLESS if wide else console.width))
        console.print()
    if (parts := breakdown(document)) is not None:
        _print(console, parts)
        console.print()
    for text in _losses(document):
        console.print(Text(text, style="bold red"))
    console.print(Text(wording.LEGEND, style="dim"))
    for text in wording.absent_lines(document):
        console.print(Text(text, style="dim"))
    console.print(Text(wording.machine_line(document.machine), style="dim"))
    console.print(Text(wording.load_line(document.machine), style="dim"))


def _print(console: Console, found: Table) -> None:
    """Print the whole table: its lines wrap if the terminal is narrow."""
    width = console.width
    needed = console.measure(found, options=console.options.update(width=_ENDLESS)).maximum
    try:
        console.width = max(width, needed)
        console.print(found)
    finally:
        console.width = width


def _losses(document: Document) -> list[str]:
    return [
        f"behind in {each.heading}: {each.peer} is {wording.times(each.ratio)} as fast "
        f"({wording.ratio_reach(each.ratio)})"
        for each in summary.losses(document)
    ]


def show_comparison(
    console: Console, verdicts: Sequence[Verdict], warnings: Sequence[str] = ()
) -> None:
    """Print a line for each verdict, by cell, then the number of each verdict."""
    for text in warnings:
        console.print(Text(f"WARNING {text}", style="bold yellow"))
    both, alone = split(verdicts)
    for heading in dict.fromkeys(each.heading for each in both):
        found = Table(
            title=Text(heading, style="bold"),
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=_PADDING,
            pad_edge=False,
        )
        for column in ("peer", *COLUMNS):
            side: JustifyMethod = "left" if column in ("peer", "verdict") else "right"
            found.add_column(column, justify=side, no_wrap=True)
        notes = []
        for each in (verdict for verdict in both if verdict.heading == heading):
            found.add_row(Text(each.title), *each.texts(), style=_WORDS.get(each.word))
            if each.note:
                notes.append(f"{each.title}: {each.note}")
        found.caption = Text("\n".join(notes), style="dim")
        found.caption_justify = "left"
        _print(console, found)
        console.print()
    for text in alone:
        console.print(Text(text, style="dim"))
    console.print(Text(conclusion(both), style="bold"))
