# SPDX-License-Identifier: MIT
"""One run over all cells of a plan, within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from envring.bench.measuring.runner import GRACE_SECONDS, run_cell
from envring.bench.measuring.samples import CellResult
from envring.bench.plan.cells import Cell
from envring.bench.plan.matrix import Planned
from envring.cpus import usable_cpus

_LEAST_SECONDS = 2.0  # of a cell
_BREAKDOWN_SECONDS = 2.0


def run(
    planned: Sequence[Planned],
    *,
    seconds: float,
    rounds: int,
    slice_seconds: float,
    cores: int | None = None,
    breakdown: bool = False,
    began: Callable[[int, Cell], None] = lambda index, cell: None,
    advanced: Callable[[], None] = lambda: None,
    finished: Callable[[CellResult], None] = lambda result: None,
) -> list[CellResult]:
    """Measure every cell, one after the other.

    Time that a cell leaves over goes to the later ones, and time that it overruns is taken from
    them. A cell for which no time is left is not started, and its failures say so.

    Args:
        planned: The cells and their shares.
        seconds: Time for all cells; a peer that hangs in the last one may add a few seconds.
        rounds: How many slices each peer gets, if time allows.
        slice_seconds: Length of a slice, in seconds; shorter if time is short.
        cores: Usable processors; by default those of this process.
        breakdown: Whether to measure where the time of a step goes, for envring's own peers.
        began: Called with the cell's index before each.
        advanced: Called after each slice.
        finished: Called after each cell.

    Returns:
        A result for each cell.
    """
    cores = cores or usable_cpus()
    end = time.monotonic() + seconds
    results: list[CellResult] = []
    for index, each in enumerate(planned):
        began(index, each.cell)
        now = time.monotonic()
        share = (end - now) * each.share / sum(later.share for later in planned[index:])
        share = max(_LEAST_SECONDS, share)
        if index and now >= end:
            result = CellResult(each.cell, cores)
            result.failures = dict.fromkeys(each.cell.peers, "not measured: no time was left")
        else:
            result = _measure(each.cell, cores, share, rounds, slice_seconds, breakdown, advanced)
        results.append(result)
        finished(result)
    return results


def _measure(
    cell: Cell,
    cores: int,
    share: float,
    rounds: int,
    slice_seconds: float,
    breakdown: bool,
    advanced: Callable[[], None],
) -> CellResult:
    """One cell, within about `share` seconds."""
    try:
        return run_cell(
            cell,
            cores=cores,
            rounds=rounds,
            slice_seconds=slice_seconds,
            deadline=time.monotonic() + share,
            construct_seconds=0.75 * share,
            grace=min(GRACE_SECONDS, max(2.0, share / 4)),
            breakdown_seconds=min(_BREAKDOWN_SECONDS, 0.05 * share) if breakdown else 0.0,
            advanced=advanced,
        )
    except ValueError as error:  # the workload cannot be loaded, or its package is missing
        result = CellResult(cell, cores)
        result.refusals = dict.fromkeys(cell.peers, str(error))
        return result
