# SPDX-License-Identifier: MIT
"""All cells of a run in one table: ratios of rates, and where envring is slower."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import CellResult
from envring.bench.measuring.stats import Interval
from envring.bench.peers import adapters
from envring.bench.plan.cells import OURS
from envring.bench.reporting import wording

Standing = Literal["ahead", "even", "behind", "own", "apart"]


@dataclass(frozen=True)
class Entry:
    """One peer in one cell.

    Attributes:
        ratio: Its rate over that of the table's base; None if it was not measured.
        standing: Whether it is ahead of `OURS` there, behind, or no difference is seen ("even").
            "own" for our own modes, "apart" for plain loops and C++ envs, which are not rivals.
        failed: Whether it raised, died or hung.
    """

    ratio: Interval | None
    standing: Standing
    failed: bool = False


@dataclass(frozen=True)
class Loss:
    """A peer that is ahead of ours in a cell.

    Attributes:
        heading: The cell.
        peer: The peer's label.
        ratio: Its rate over ours.
    """

    heading: str
    peer: str
    ratio: Interval


def peers(document: Document) -> list[str]:
    """The peers that have figures, in the order of tables; unknown ones come last."""
    found = {each.peer for cell in document.cells for each in cell.samples}
    order = [name for name in adapters() if name in found]
    return order + sorted(found - set(order))


def standing(result: CellResult, peer: str) -> Standing:
    """How `peer` compares with `OURS`, as far as the rounds tell."""
    if peer.startswith(OURS):
        return "own"
    ratio = result.ratio_interval(peer, OURS)
    if ratio is None or not _rival(peer):
        return "apart"
    return "ahead" if ratio.low > 1 else "behind" if ratio.high < 1 else "even"


def _rival(peer: str) -> bool:
    return wording.steps_python(peer) and not peer.startswith(OURS)


def table(
    document: Document, base: str, shown: list[str] | None = None
) -> Iterator[tuple[CellResult, list[Entry]]]:
    """A row for each cell with an entry for each of `shown` (default: `peers`)."""
    shown = peers(document) if shown is None else shown
    for result in document.cells:
        yield (
            result,
            [
                Entry(
                    result.ratio_interval(peer, base),
                    standing(result, peer),
                    peer in result.failures,
                )
                for peer in shown
            ],
        )


def best_rival(result: CellResult) -> str | None:
    """The fastest other peer that steps Python envs, or None."""
    rivals = [peer for peer in result.cell.peers if result.rates(peer) and _rival(peer)]
    ratios = {peer: result.ratio_interval(peer, OURS) for peer in rivals}
    found = {peer: ratio.median for peer, ratio in ratios.items() if ratio is not None}
    return max(found, key=found.__getitem__, default=None)


def losses(document: Document) -> list[Loss]:
    """Every cell in which a rival is clearly ahead of ours, the worst first."""
    found = []
    for result in document.cells:
        for peer in result.cell.peers:
            ratio = result.ratio_interval(peer, OURS)
            if ratio is not None and standing(result, peer) == "ahead":
                found.append(Loss(wording.heading(result.cell), peer, ratio))
    return sorted(found, key=lambda each: -each.ratio.median)
