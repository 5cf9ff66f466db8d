# SPDX-License-Identifier: MIT
"""The picture of a run; needs matplotlib."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import CellResult
from envring.bench.reporting import panels, summary, wording

_WIDTH = 9.6
_ROW = 0.27  # inches for a line of text
_SEVERAL = 3  # so many numbers of envs or more are drawn as lines
_LATENCIES = 4  # panels of latencies at most: a big run has too many cells
_POINTS = (
    "Point: median over rounds. Thick line or band: quartiles. Ratios: medians of the ratios "
    "within rounds, with 95 % intervals. Dashed: the ceiling, usable cores x the Python loop. "
    "Resets take time but do not count as steps."
)


@dataclass(frozen=True)
class _Section:
    """A part of the picture: its heading, its height in inches, and its drawing function."""

    title: str
    height: float
    draw: Callable[[SubFigure], None]


def draw(path: Path, document: Document, baseline: str = "async") -> None:
    """Save a picture of a run.

    It shows throughput (by the number of envs if a workload was run with several, else a panel for
    each cell), how long steps take, and, if measured, where their time goes.

    Args:
        path: The file to write; its suffix tells matplotlib the format.
        document: The run.
        baseline: The label of the peer that ratios are taken to.
    """
    sections = _sections(document, baseline)
    caption = textwrap.fill(f"{_POINTS} {wording.machine_line(document.machine)}", 185)
    foot = 0.13 * (caption.count("\n") + 1) + 0.1
    heights = [each.height for each in sections]
    layout = ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07)
    figure = Figure(figsize=(_WIDTH, sum(heights) + foot), dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(sections) + 1, 1, squeeze=False, height_ratios=[*heights, foot])
    for part, section in zip(parts[:, 0], sections, strict=False):
        if section.title:
            part.suptitle(section.title, x=0.01, ha="left", fontsize=12, color=panels.INK)
        section.draw(part)
    parts[-1, 0].text(0.012, 0.5, caption, fontsize=6.8, color=panels.GREY, va="center")
    figure.savefig(path, facecolor="white")


def _sections(document: Document, baseline: str) -> list[_Section]:
    families: dict[Any, list[CellResult]] = {}
    for result in document.cells:
        cell = result.cell
        families.setdefault((cell.workload, cell.num_workers, cell.think, cell.busy), []).append(
            result
        )
    lines = [each for each in families.values() if len(each) >= _SEVERAL]
    single = [each for family in families.values() if family not in lines for each in family]
    timed = _timed(list(families.values()))
    several = len([group for group in (lines, single, timed) if group]) > 1
    sections = []
    if lines:
        labels = summary.peers(document)
        sections.append(_scaling("Throughput by number of envs (env steps/s)", lines, labels))
    if single:
        title = "Throughput (env steps/s)" if several else ""
        sections.append(_grid(title, single, lambda axes, each: panels.rates(axes, each, baseline)))
    if timed:
        title = "How long a step of all envs takes (point: p50, to p90, to p99; tick: longest)"
        sections.append(_grid(title, timed, panels.latency))
    if found := wording.breakdowns(document):
        sections.append(_parts(found))
    return sections


def _timed(families: list[list[CellResult]]) -> list[CellResult]:
    """Cells whose latencies are shown: all, or for a big run one of each of the first workloads."""
    timed = [
        [each for each in family if any(each.latency(peer) for peer in each.cell.peers)]
        for family in families
    ]
    if sum(map(len, timed)) > _LATENCIES:
        usual = (min(each, key=lambda one: abs(one.cell.num_envs - 64)) for each in timed if each)
        return list(usual)[:_LATENCIES]
    return [each for family in timed for each in family]


def _scaling(title: str, families: list[list[CellResult]], labels: list[str]) -> _Section:
    across = min(3, len(families))
    down = math.ceil(len(families) / across)

    def draw(part: SubFigure) -> None:
        axes = list(part.subplots(down, across, squeeze=False).flat)
        for each, family in zip(axes, families, strict=False):
            panels.scaling(each, family, labels)
        for each in axes[len(families) :]:
            each.set_visible(False)
        _legend(part, panels.keys(labels))

    return _Section(title, 0.4 + 2.9 * down + _ROW * math.ceil(len(labels) / 4), draw)


def _grid(
    title: str, results: Sequence[CellResult], panel: Callable[[Any, CellResult], None]
) -> _Section:
    """Panels with a row for each contestant, one below the other."""
    rows = [len(each.cell.peers) for each in results]

    def draw(part: SubFigure) -> None:
        ratios = [count + 2.2 for count in rows]
        axes = part.subplots(len(rows), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for each, result in zip(axes, results, strict=True):
            panel(each, result)

    return _Section(title, 0.3 + sum(_ROW * count + 0.7 for count in rows), draw)


def _parts(found: list[tuple[str, dict[str, Any]]]) -> _Section:
    def draw(part: SubFigure) -> None:
        wrapped = [(title.replace(": ", "\n"), parts) for title, parts in found]
        panels.parts(part.subplots(), wrapped)
        _legend(part, panels.part_keys())

    return _Section("Where the time of a step goes", 1.1 + 0.45 * len(found), draw)


def _legend(part: SubFigure, keys: list[Any]) -> None:
    part.legend(
        handles=keys,
        loc="outside lower left",
        ncols=4,
        frameon=False,
        fontsize=8,
        labelcolor=panels.INK,
    )
