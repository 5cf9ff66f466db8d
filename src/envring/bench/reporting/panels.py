# SPDX-License-Identifier: MIT
"""The panels of a run's picture; needs matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from envring.bench.measuring.samples import CellResult
from envring.bench.measuring.stats import spread
from envring.bench.peers import adapters
from envring.bench.plan.cells import OURS
from envring.bench.reporting import wording

INK = "#1f2933"
GREY = "#52606d"
_RULE = "#e4e7eb"
_FRAME = "#cbd2d9"
# All modes of a package share a colour and differ by their markers and lines.
_COLOURS = {
    "envring": "#0b7a4b",
    "async": "#c2410c",
    "sync": "#b08900",
    "bare": "#6b7280",
    "sb3": "#1d4ed8",
    "tianshou": "#7c3aed",
    "pufferlib": "#db2777",
    "torchrl": "#7f4f24",
    "envpool": "#0891b2",
}
_THICK: dict[str, Any] = {"linewidth": 7, "alpha": 0.3, "solid_capstyle": "butt"}
_FIRST, _SECOND, _THIRD = 56, 112, 182  # where the texts beside a panel end, in points
_MARKERS = "osD^vPX*"
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
_PARTS = {
    "env": "#0b7a4b",
    "imbalance": "#b08900",
    "copying": "#1d4ed8",
    "signalling": "#7c3aed",
    "waiting": "#c2410c",
    "caller": "#6b7280",
    "unattributed": _RULE,
}


def colour(label: str) -> str:
    """The colour of a contestant: that of its package."""
    return _COLOURS.get(label.partition("-")[0], INK)


def _style(label: str, labels: Sequence[str]) -> dict[str, Any]:
    """The style of a contestant's line, different from the others of its package."""
    family = [each for each in labels if colour(each) == colour(label)]
    place = family.index(label)
    return {
        "color": colour(label),
        "marker": _MARKERS[place % len(_MARKERS)],
        "linestyle": _DASHES[place % len(_DASHES)],
        "linewidth": 2.4 if label == OURS else 1.3,
        "markersize": 5 if label == OURS else 4,
    }


def keys(labels: Sequence[str]) -> list[Line2D]:
    """What a legend shows for the contestants."""
    return [Line2D([], [], label=_title(each), **_style(each, labels)) for each in labels]


def _title(label: str) -> str:
    known = adapters().get(label)
    return known.title if known else label


def _tidy(axes: Axes, grid: str) -> None:
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=_RULE, linewidth=0.8)  # type: ignore[arg-type]
    axes.tick_params(axis="both", which="major", length=0, labelcolor=INK, labelsize=8.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FRAME)


def _title_of(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10, fontweight="bold", color=INK)


def _rows(axes: Axes, titles: Sequence[str]) -> None:
    axes.set_yticks(range(len(titles)), titles, fontsize=9, color=INK)
    axes.set_ylim(len(titles) - 0.45, -0.55)


def _beside(axes: Axes, row: float, place: float, text: str, **more: Any) -> None:
    """Text to the right of the panel; it ends `place` points beyond it."""
    style: dict[str, Any] = {"ha": "right", "va": "center", "textcoords": "offset points", **more}
    axes.annotate(text, (1.0, row), xytext=(place, 0), xycoords=axes.get_yaxis_transform(), **style)


def _above(axes: Axes, *texts: str) -> None:
    """The headings of the texts to the right of the panel."""
    style: dict[str, Any] = {"ha": "right", "fontsize": 8, "color": GREY}
    for place, text in zip((_FIRST, _SECOND, _THIRD), texts, strict=False):
        axes.annotate(text, (1, 1), (place, 5), "axes fraction", "offset points", **style)


def _no_figure(axes: Axes, row: int, failed: bool) -> None:
    text = "failed" if failed else "no figure"
    where = axes.get_yaxis_transform()
    axes.text(0.5, row, text, transform=where, color=GREY, va="center", fontsize=8.5)


def rates(axes: Axes, result: CellResult, baseline: str) -> None:
    """A point for each contestant's median rate with its quartiles, and the ceiling.

    The axis is logarithmic, so points replace bars, which would have no base.
    """
    peers = result.cell.peers
    _title_of(axes, wording.heading(result.cell))
    ends: list[float] = []
    for row, peer in enumerate(peers):
        rate = result.rate(peer)
        if rate is None:
            _no_figure(axes, row, peer in result.failures)
            continue
        ends += [rate.low, rate.high]
        axes.plot([rate.low, rate.high], [row, row], color=colour(peer), **_THICK)
        axes.plot([rate.median], [row], "o", color=colour(peer), markersize=7)
        ratio = result.ratio_interval(peer, baseline)
        weight = "bold" if peer == OURS else "normal"
        more: dict[str, Any] = {"fontsize": 9, "fontweight": weight, "color": INK}
        _beside(axes, row, _FIRST, wording.rate(rate), **more)
        if peer != baseline:
            _beside(axes, row, _SECOND, wording.times(ratio), **more)
            more = {"fontsize": 8, "color": GREY}
            _beside(axes, row, _THIRD, wording.ratio_reach(ratio), **more)
    _above(axes, "steps/s", f"x {wording.brief(baseline)}", "95 %")
    ceiling = spread(result.ceilings().values())
    if ceiling is not None:
        ends.append(ceiling.median)
        axes.axvline(ceiling.median, color=_COLOURS["bare"], linestyle="--", linewidth=1)
        where = axes.get_xaxis_transform()
        more = {"transform": where, "ha": "right", "fontsize": 8, "color": GREY}
        axes.text(ceiling.median, 1.03, "ceiling", **more)
    _rows(axes, [wording.peer_title(result.cell, peer) for peer in peers])
    axes.set_xscale("log")
    if ends:
        axes.set_xlim(min(ends) / 1.4, max(ends) * 1.25)
    _log_axis(axes.xaxis, wording.short)
    _tidy(axes, "x")


def _log_axis(axis: Any, write: Callable[[float], str]) -> None:
    low, high = axis.get_view_interval()
    # If there are few powers of ten, label 2 and 5 times each of them too.
    subs = (1.0, 2.0, 5.0) if high < 50 * low else (1.0,)
    axis.set_major_locator(LogLocator(10, subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=2.5, color=_FRAME)


def scaling(axes: Axes, results: Sequence[CellResult], labels: Sequence[str]) -> None:
    """Env steps per second by the number of envs, a line for each of `labels`.

    Args:
        axes: Where to draw.
        results: Cells that differ in their number of envs.
        labels: Contestants of the whole picture, which determine the style of the lines.
    """
    results = sorted(results, key=lambda each: each.cell.num_envs)
    title, _, rest = wording.heading(results[0].cell).partition(" x ")
    _title_of(axes, ", ".join([title, *rest.split(", ")[1:]]))
    for order, label in enumerate(labels):
        points = [
            (each.cell.num_envs, found)
            for each in results
            if (found := each.rate(label)) is not None
        ]
        if not points:
            continue
        counts = [count for count, _ in points]
        top = 30 if label == OURS else 10
        medians = [each.median for _, each in points]
        axes.plot(counts, medians, zorder=top + order / 100, **_style(label, labels))
        lows, highs = zip(*((each.low, each.high) for _, each in points), strict=True)
        axes.fill_between(counts, lows, highs, color=colour(label), alpha=0.1, linewidth=0)
    ceiling = [
        (each.cell.num_envs, found.median)
        for each in results
        if (found := spread(each.ceilings().values())) is not None
    ]
    if ceiling:
        style: dict[str, Any] = {"color": _COLOURS["bare"], "linestyle": "--", "linewidth": 1}
        axes.plot(*zip(*ceiling, strict=True), **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    counts = [each.cell.num_envs for each in results]
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    _log_axis(axes.yaxis, wording.short)
    axes.set_xlabel("envs", fontsize=8.5, color=GREY)
    _tidy(axes, "both")


def latency(axes: Axes, result: CellResult) -> None:
    """How long one step of all envs takes, for each contestant: p50, p90, p99 and the longest."""
    found = {peer: result.latency(peer) for peer in result.cell.peers}
    peers = [peer for peer, quantiles in found.items() if quantiles is not None]
    _title_of(axes, wording.heading(result.cell))
    for row, peer in enumerate(peers):
        quantiles = {name: each.median for name, each in (found[peer] or {}).items()}
        shade = colour(peer)
        thick: dict[str, Any] = {
            "color": shade,
            "alpha": 0.3,
            "linewidth": 7,
            "solid_capstyle": "butt",
        }
        axes.plot([quantiles["p50"], quantiles["p90"]], [row, row], **thick)
        axes.plot([quantiles["p90"], quantiles["p99"]], [row, row], color=shade, linewidth=2)
        axes.plot([quantiles["p50"]], [row], "o", color=shade, markersize=7)
        axes.plot([quantiles["longest"]], [row], "|", color=shade, markersize=8)
        more: dict[str, Any] = {"fontsize": 9, "color": INK}
        _beside(axes, row, _FIRST, wording.duration(quantiles["p50"]), **more)
        _beside(axes, row, _SECOND, wording.duration(quantiles["p99"]), **more)
    _above(axes, "p50", "p99")
    _rows(axes, [wording.peer_title(result.cell, peer) for peer in peers])
    axes.set_xscale("log")
    _log_axis(axes.xaxis, wording.duration)
    _tidy(axes, "x")


def parts(axes: Axes, found: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Where the time of a step goes: a stacked bar for each of `found`.

    Args:
        axes: Where to draw.
        found: What the bar is called, and a breakdown as `Breakdown.as_json` writes it.
    """
    for row, (_, breakdown) in enumerate(found):
        left = 0.0
        for name, share in wording.shares(breakdown).items():
            width = max(0.0, share)
            axes.barh([row], [width], left=left, height=0.62, color=_PARTS[name])
            if width >= 0.05:
                dark = INK if name == "unattributed" else "white"
                place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
                axes.text(left + width / 2, row, f"{100 * width:.0f} %", color=dark, **place)
            left += width
        batch = wording.duration(wording.batch_seconds(breakdown))
        _beside(axes, row, 84, f"{batch} a step", fontsize=9, color=INK)
    _rows(axes, [title for title, _ in found])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    _tidy(axes, "x")


def part_keys() -> list[Line2D]:
    """What a legend shows for the parts of a step."""
    square: dict[str, Any] = {"marker": "s", "linestyle": "", "markersize": 8}
    return [
        Line2D([], [], color=shade, label=wording.PARTS[name], **square)
        for name, shade in _PARTS.items()
    ]
