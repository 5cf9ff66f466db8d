# SPDX-License-Identifier: MIT
"""The picture of a run; needs matplotlib."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from envring.bench.cells import CellResult
from envring.bench.peers import TITLES
from envring.bench.report import heading, machine_line, short, times

_COLOURS = {"envring": "#0b7a4b", "async": "#c2410c", "sync": "#b08900", "bare": "#6b7280"}
_INK = "#1f2933"
_GREY = "#52606d"
_LEGEND = (
    "Point: median over rounds. Thick line: quartiles. Ratios: medians of those within each round."
)


def draw(path: Path, results: Sequence[CellResult], machine: Mapping[str, Any]) -> None:
    """Save a picture: a panel for each cell, a point for each peer's median with its quartiles.

    The axis is logarithmic; points, not bars, since a bar has no foot on such an axis.
    """
    rows = [len(result.cell.peers) for result in results]
    figure = Figure(figsize=(8.6, 1.0 + sum(0.4 * count + 0.75 for count in rows)), dpi=160)
    FigureCanvasAgg(figure)
    ratios = {"height_ratios": rows}
    panels = figure.subplots(len(results), 1, squeeze=False, gridspec_kw=ratios)[:, 0]
    for axes, result in zip(panels, results, strict=True):
        _panel(axes, result)
    panels[-1].set_xlabel(
        "env steps per second, log scale (resets take time but are no steps)", fontsize=9
    )
    caption = f"{_LEGEND} {machine_line(machine)}"
    figure.text(0.015, 0.01, textwrap.fill(caption, 150), fontsize=6.8, color=_GREY, va="bottom")
    foot = 0.45 / figure.get_figheight()
    figure.tight_layout(rect=(0, foot, 0.99, 1), h_pad=1.4)
    figure.savefig(path, facecolor="white")


def _panel(axes: Axes, result: CellResult) -> None:
    peers = result.cell.peers
    axes.set_title(heading(result), loc="left", fontsize=10.5, fontweight="bold", color=_INK)
    medians = []
    for row, peer in enumerate(peers):
        rate = result.rate(peer)
        colour = _COLOURS.get(peer, _INK)
        if rate is None:
            axes.text(
                0.5,
                row,
                "no figure",
                transform=axes.get_yaxis_transform(),
                color=colour,
                va="center",
            )
            continue
        medians.append(rate.median)
        axes.plot(
            [rate.low, rate.high],
            [row, row],
            color=colour,
            linewidth=7,
            alpha=0.3,
            solid_capstyle="butt",
        )
        axes.plot([rate.median], [row], "o", color=colour, markersize=7)
        ratio = "" if peer == "async" else times(result.ratio(peer, "async"))
        weight = "bold" if peer == "envring" else "normal"
        for place, text in ((1.085, short(rate.median)), (1.19, ratio)):
            axes.text(
                place,
                row,
                text,
                transform=axes.get_yaxis_transform(),
                ha="right",
                va="center",
                fontsize=9,
                fontweight=weight,
                color=_INK,
            )
    for place, text in ((1.085, "steps/s"), (1.19, "vs Async")):
        axes.text(place, 1.03, text, transform=axes.transAxes, ha="right", fontsize=8, color=_GREY)
    bare = result.rate("bare")
    if bare is not None:
        ceiling = bare.median * result.cores
        medians.append(ceiling)
        axes.axvline(ceiling, color=_COLOURS["bare"], linestyle="--", linewidth=1)
        axes.text(
            ceiling,
            1.03,
            f"{result.cores} cores x Python loop",
            transform=axes.get_xaxis_transform(),
            ha="right",
            fontsize=8,
            color=_GREY,
        )
    axes.set_yticks(range(len(peers)), [TITLES[peer] for peer in peers], fontsize=9, color=_INK)
    axes.set_ylim(len(peers) - 0.45, -0.55)
    axes.set_xscale("log")
    if medians:
        axes.set_xlim(min(medians) / 1.6, max(medians) * 1.25)
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=2.5, color="#cbd2d9")
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", which="major", length=0, labelcolor=_INK, labelsize=8.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#cbd2d9")
