# SPDX-License-Identifier: MIT
"""One run of `envring bench`: from options to cells, and from results to files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from envring.bench import peers
from envring.bench.measuring import inventory, machine, results, sweep
from envring.bench.measuring.process import PeerFailed
from envring.bench.measuring.results import Document
from envring.bench.measuring.runner import ask_alone
from envring.bench.measuring.samples import CellResult
from envring.bench.plan import matrix
from envring.bench.plan.cells import BARE, OURS, REMOTE, Cell, Contestant
from envring.bench.plan.matrix import TURNS_SECONDS, Matrix, Planned
from envring.bench.reporting import terminal

MARGIN_SECONDS = 4.0  # for closing, tables and the picture
TRACE_SECONDS = 60.0  # after which a trace is given up
ALL = "all"
_PLAIN = ("cartpole", "image")  # the workloads of the default matrix


@dataclass(frozen=True)
class Wish:
    """The options of the command line.

    Attributes:
        targets: Names of workloads.
        matrix: The name of a matrix, None for the default.
        peers: Names of adapters, or "all"; empty for the default ones.
        baseline: The peer that the others are compared with; None for the default.
        envs: Numbers of envs.
        workers: Numbers of workers.
        think: Seconds for which the caller computes after each step.
        busy: Numbers of other programs that compute meanwhile.
        remotes: Hosts whose envs are measured too, or None.
        seconds: Time budget of the whole run.
        rounds: How many slices each peer gets.
        breakdown: Whether to find out where the time of a step goes.
        trace: Where to write a trace.
        as_json: Where to write every sample.
        plot: Where to draw a picture.
        markdown: Where to write tables.
        wide: Whether to show every column.
        quick: Whether to take only few short slices.
    """

    targets: tuple[str, ...] = ()
    matrix: str | None = None
    peers: tuple[str, ...] = ()
    baseline: str | None = None
    envs: tuple[int, ...] = ()
    workers: tuple[int, ...] = ()
    think: tuple[float, ...] = ()
    busy: tuple[int, ...] = ()
    remotes: str | None = None
    seconds: float | None = None
    rounds: int | None = None
    breakdown: bool = False
    trace: Path | None = None
    as_json: Path | None = None
    plot: Path | None = None
    markdown: Path | None = None
    wide: bool = False
    quick: bool = False


def plan(wish: Wish) -> Matrix:
    """Turn the options into cells and a time budget.

    Raises:
        click.UsageError: if the options contradict each other.
    """
    if wish.targets and wish.matrix:
        raise click.UsageError("name targets or a matrix, not both")
    name = wish.matrix or ("quick" if wish.quick else "default")
    found = matrix.named("default" if wish.targets else name)
    axes = wish.envs or wish.workers or wish.think or wish.busy or wish.remotes
    if axes and not wish.targets and name != "default":
        raise click.UsageError(
            "--envs, --workers, --think, --busy and --remotes go with targets, not with a matrix"
        )
    cells, seconds = found.cells, found.seconds
    rounds, slice_seconds = found.rounds, found.slice_seconds
    if wish.targets or axes:
        cells = matrix.grid(
            wish.targets or _PLAIN,
            wish.envs or [64],
            _names(wish) or matrix.PEERS,
            num_workers=wish.workers or [None],
            think=wish.think or [0.0],
            busy=wish.busy or [0],
        )
        if wish.remotes:
            cells = tuple(_with_remotes(each, wish.remotes) for each in cells)
        if wish.quick:
            rounds, slice_seconds, seconds = 3, 0.1, 8.0
        seconds = max(seconds, needed(cells, rounds, slice_seconds))
    elif wish.peers:
        cells = matrix.only(cells, _names(wish))
    if wish.seconds is not None:
        seconds = max(1.0, wish.seconds - MARGIN_SECONDS)
    return Matrix(name, cells, seconds, wish.rounds or rounds, slice_seconds)


def _with_remotes(planned: Planned, remotes: str) -> Planned:
    cell = planned.cell
    there = Contestant(REMOTE, OURS, {"remotes": remotes})
    return matrix.plan(replace(cell, contestants=(*cell.contestants, there)))


def needed(planned: Sequence[Planned], rounds: int, slice_seconds: float) -> float:
    """Estimate the seconds of all rounds, with imports and a reserve."""
    turns = rounds * slice_seconds * 1.2
    return 1.2 * sum(
        each.share + len(each.cell.contestants) * (turns - TURNS_SECONDS) for each in planned
    )


def _names(wish: Wish) -> tuple[str, ...]:
    """The peers to measure: those named, the baseline and the bare loop."""
    if not wish.peers:
        return ()
    here = [name for name, adapter in peers.adapters().items() if peers.installed(adapter)]
    names = [each for name in wish.peers for each in (here if name == ALL else [name])]
    names += [wish.baseline] if wish.baseline else []
    return tuple(dict.fromkeys([*names, BARE]))


def run(wish: Wish) -> int:
    """Measure, print the tables and write the files; return 1 if a peer failed.

    Raises:
        click.UsageError: if the options contradict each other.
    """
    found = plan(wish)
    baseline = wish.baseline or "async"
    console = Console()
    hardware = inventory.describe() | {"load_before": machine.load_average()}
    cells = _measure(console, found, wish, baseline)
    hardware["load_after"] = machine.load_average()
    document = Document(
        hardware,
        cells,
        absent=inventory.absent(),
        argv=[Path(sys.argv[0]).name, *sys.argv[1:]],
        more={"matrix": found.name, "baseline": baseline},
    )
    if wish.as_json:  # first, so that no later error can lose the samples
        results.write(wish.as_json, document)
    terminal.show(console, document, baseline=baseline, wide=wish.wide)
    failed = any(result.failures for result in cells)
    if wish.trace:
        failed |= not _trace(console, found.cells, wish.trace)
    _write(console, wish, document, baseline)
    return 1 if failed else 0


def _measure(console: Console, found: Matrix, wish: Wish, baseline: str) -> list[CellResult]:
    """Measure every cell and show the progress after each slice."""
    total = sum(each.share for each in found.cells)
    with terminal.progress(console) as progress:
        task = progress.add_task("", total=1.0)
        slice_share = 0.0

        def began(index: int, cell: Cell) -> None:
            nonlocal slice_share
            done = sum(each.share for each in found.cells[:index]) / total
            share = found.cells[index].share / total
            slice_share = share / (found.rounds * len(cell.contestants))
            title = f"{index + 1}/{len(found.cells)} {cell.workload} x {cell.num_envs}"
            progress.update(task, description=title, completed=done, refresh=True)

        def advanced() -> None:
            progress.update(task, advance=slice_share, refresh=True)

        def finished(result: CellResult) -> None:
            if len(found.cells) > len(_PLAIN):
                progress.console.print(Text(terminal.line(result, baseline)), soft_wrap=True)

        cells = sweep.run(
            found.cells,
            seconds=found.seconds,
            rounds=found.rounds,
            slice_seconds=found.slice_seconds,
            breakdown=wish.breakdown,
            began=began,
            advanced=advanced,
            finished=finished,
        )
        progress.update(task, completed=1.0, refresh=True)
    return cells


def _trace(console: Console, planned: Sequence[Planned], path: Path) -> bool:
    """Write a trace of the first of our own peers, in the first cell that has one."""
    for each in planned:
        for one in each.cell.contestants:
            if one.peer.startswith(OURS):
                try:
                    ask_alone(
                        each.cell,
                        one.label,
                        timeout=TRACE_SECONDS,
                        op="trace",
                        path=str(path.absolute()),
                    )
                except PeerFailed as failure:
                    console.print(Text(f"trace: {one.label} {failure}", style="red"))
                    return False
                console.print(Text(f"trace: {path}"))
                return True
    console.print(Text("trace: none of the peers is RingVectorEnv", style="red"))
    return False


def _write(console: Console, wish: Wish, document: Document, baseline: str) -> None:
    if wish.as_json:
        console.print(Text(f"samples: {wish.as_json}"))
    if wish.markdown:
        from envring.bench.reporting import markdown

        wish.markdown.write_text(markdown.document(document, baseline=baseline), encoding="utf-8")
        console.print(Text(f"tables: {wish.markdown}"))
    if wish.plot:
        from envring.bench.reporting import plot

        plot.draw(wish.plot, document, baseline=baseline)
        console.print(Text(f"picture: {wish.plot}"))
