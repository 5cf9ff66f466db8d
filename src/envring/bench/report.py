# SPDX-License-Identifier: MIT
"""Tables for people and JSON for programs; needs rich."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from envring.bench import workloads
from envring.bench.cells import QUIET, CellResult
from envring.bench.peers import TITLES
from envring.bench.stats import Spread

MISSING = "-"


def progress(console: Console) -> Progress:
    """A progress bar with an estimate, to be refreshed between slices by whoever advances it.

    A thread that refreshed it would compete with what is measured.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
    )


def short(value: float) -> str:
    """Three figures with a unit: 1234567 becomes '1.23 M'."""
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit * 0.9995:
            return (
                f"{value / limit:.3g}{unit}"
                if value < limit * 999.5
                else f"{value / limit:.0f}{unit}"
            )
    return f"{value:.3g}"


def between(low: float, high: float) -> str:
    """A range such as '127 to 130 k', the unit once where both share it."""
    first, second = short(low), short(high)
    if first == second:
        return first
    number, _, unit = first.partition(" ")
    return f"{number if second.endswith(' ' + unit) else first} to {second}"


def times(spread: Spread | None) -> str:
    """A ratio such as '27.1x'."""
    return (
        MISSING
        if spread is None
        else f"{spread.median:.3g}x"
        if spread.median < 999.5
        else f"{spread.median:.0f}x"
    )


def fraction(spread: Spread | None) -> str:
    """A fraction such as '0.76', with as many figures as it needs to be seen at all."""
    if spread is None:
        return MISSING
    return f"{spread.median:.2f}" if spread.median >= 0.095 else f"{spread.median:.2g}"


def heading(result: CellResult) -> str:
    """What was measured, in a few words."""
    return f"{workloads.find(result.cell.workload).title} x {result.cell.num_envs} envs"


def table(result: CellResult) -> Table:
    """The rich table of one cell: a row for each peer, a failed one with what happened to it."""
    # Text, not str: an error may hold brackets, which are markup in a str.
    found = Table(
        title=Text(heading(result), style="bold"),
        title_justify="left",
        caption=Text(_caption(result), style="dim"),
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    found.add_column("peer", no_wrap=True)
    for column in ("env steps/s", "quartiles", "x Async", "x Sync", "of ceiling"):
        found.add_column(column, justify="right", no_wrap=True)
    for peer in result.cell.peers:
        rate = result.rate(peer)
        style = "bold green" if peer == "envring" else None
        if rate is not None:
            found.add_row(
                TITLES[peer],
                short(rate.median),
                between(rate.low, rate.high),
                times(result.ratio(peer, "async")),
                times(result.ratio(peer, "sync")),
                fraction(result.of_ceiling(peer)),
                style=style,
            )
        else:
            found.add_row(TITLES[peer], *[MISSING] * 5, style=style)
    return found


def _caption(result: CellResult) -> str:
    bare = result.rate("bare")
    lines = []
    if bare is not None:
        ceiling = short(bare.median * result.cores)
        lines.append(f"ceiling: {result.cores} cores x the Python loop = {ceiling} env steps/s")
        if result.cell.workload == "image":
            lines.append("(the loop moves no observation; who does cannot come near it)")
        lines.append(f"medians over {bare.count} rounds; ratios are taken within each round")
    outside = result.outside()
    if outside is not None and outside.median > QUIET:
        lines.append(
            f"DISTURBED: other programs held {outside.median:.2f} cores (median over the slices)"
        )
    lines += [f"{TITLES[peer]}: {text}" for peer, text in result.failures.items()]
    return "\n".join(lines)


def machine_line(machine: Mapping[str, Any]) -> str:
    """Hardware and versions in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cores = f"{machine['cores_usable']} of {machine['cores_total']} cores"
    return f"{machine['cpu']}, {cores}, {machine['kernel']}; {versions}"


def show(console: Console, results: Sequence[CellResult], machine: Mapping[str, Any]) -> None:
    """Print every cell's table, then the machine."""
    for result in results:
        console.print(table(result))
        console.print()
    console.print(machine_line(machine), style="dim", highlight=False)
    load = machine.get("load_before"), machine.get("load_after")
    console.print(
        f"load average before {load[0]}, after {load[1]}",
        style="dim",
        highlight=False,
    )


def write_json(
    path: Path, results: Sequence[CellResult], machine: Mapping[str, Any], **more: Any
) -> None:
    """Write every sample, the machine and the versions to ``path``."""
    document = {
        "format": 1,
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": dict(machine),
        "cells": [result.as_json() for result in results],
        **more,
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
