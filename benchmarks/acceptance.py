# SPDX-License-Identifier: MIT
"""Every figure envring promises against its goal, in one run: `python benchmarks/acceptance.py`.

Ratios are medians over rounds of what was measured within one round. The exit status is 1 when a
goal is missed. Everything runs on two processors, with two workers, whatever the machine has.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envring.bench import workloads
from envring.bench.measuring import machine
from envring.bench.measuring.process import PeerFailed, PeerProcess
from envring.bench.measuring.runner import run_cell
from envring.bench.measuring.samples import QUIET, CellResult
from envring.bench.measuring.stats import Spread, spread
from envring.bench.plan.cells import Cell, Contestant
from envring.bench.start import leaving_on_signals, require_extra
from envring.cpus import allowed_cpus, usable_cpus

if TYPE_CHECKING:
    from rich.console import Console

CORES = 2
RING = {"num_workers": CORES}
ALL = ("envring", "async", "sync", "bare")
OWN = ("envring", "bare")
ROUNDS, SLICE_SECONDS, REPEATS = 11, 0.4, 2
BUSY_STARTS, BUSY_ROUNDS, BUSY_SLICE_SECONDS = 21, 3, 0.2
BUSY_LEAST_STARTS = 3  # however little time there is
FORK_TRIALS, SPAWN_TRIALS, IDLE_TRIALS = 7, 2, 7
SPAWN_RESERVE_SECONDS = 110.0
START_TIMEOUT, CLOSE_TIMEOUT = 90.0, 30.0


@dataclass(frozen=True)
class Goal:
    """What a figure must reach: at least `limit`, or at most where `at_most`."""

    what: str
    unit: str
    limit: float
    at_most: bool = False

    def met(self, figure: float) -> bool:
        """Whether `figure` reaches the goal."""
        return figure <= self.limit if self.at_most else figure >= self.limit


@dataclass
class Verdict:
    """One goal and what was measured for it."""

    row: str
    goal: Goal
    figure: Spread | None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether there is a figure that reaches the goal."""
        return self.figure is not None and self.goal.met(self.figure.median)


@dataclass(frozen=True)
class ThroughputRow:
    """A cell of the runner, with goals by what envring is compared with.

    If `crowded`, another program holds one of the processors meanwhile. Beside busy loops, a few
    rounds are taken with fresh processes again and again: where the kernel puts a caller, its
    worker and two loops on two processors decides on as much as ten times, for as long as these
    processes live.
    """

    cell: Cell
    ceiling: float | None = None
    ratios: dict[str, float] = field(default_factory=dict)
    crowded: bool = False

    def measure(self, deadline: float) -> CellResult:
        """Every sample, by about `deadline`, a time of `time.monotonic`."""
        cores = usable_cpus()
        if not self.cell.busy:
            with crowd(self.crowded):
                return run_cell(
                    self.cell,
                    cores=cores,
                    rounds=ROUNDS,
                    slice_seconds=SLICE_SECONDS,
                    deadline=deadline,
                    repeats=0 if self.crowded else REPEATS,
                )
        pooled = CellResult(self.cell, cores)
        for start in range(BUSY_STARTS):
            now = time.monotonic()
            if start >= BUSY_LEAST_STARTS and now >= deadline:
                break
            result = run_cell(
                self.cell,
                cores=cores,
                rounds=BUSY_ROUNDS,
                slice_seconds=BUSY_SLICE_SECONDS,
                deadline=now + (deadline - now) / (BUSY_STARTS - start),
            )
            first = start * BUSY_ROUNDS
            pooled.samples += [replace(each, round=first + each.round) for each in result.samples]
            pooled.failures |= result.failures
            pooled.refusals |= result.refusals
            pooled.footprints |= result.footprints
        return pooled

    def judge(self, row: str, result: CellResult) -> Iterator[Verdict]:
        """A verdict for each goal."""
        note = "; ".join(f"{peer} {text}" for peer, text in result.failures.items())
        outside = result.outside()
        alone = not self.crowded and not self.cell.busy
        if outside is not None and outside.high > QUIET and alone:
            note = f"disturbed: other programs held {outside.median:.2f} cores. {note}"
        if self.ceiling is not None:
            goal = Goal("of the ceiling", "", self.ceiling)
            yield Verdict(row, goal, result.of_ceiling("envring"), note)
        for base, limit in self.ratios.items():
            goal = Goal(f"of {base.title()}", "x", limit)
            yield Verdict(row, goal, result.ratio("envring", base), note)


def _cell(workload: str, num_envs: int, peers: tuple[str, ...], **options: Any) -> Cell:
    return Cell.of(workload, num_envs, peers, {"envring": {**RING, **options}})


THROUGHPUT = {
    "cartpole-64": ThroughputRow(_cell("cartpole", 64, ALL), 0.88, {"async": 20.0, "sync": 1.6}),
    "cartpole-64-pinned": ThroughputRow(_cell("cartpole", 64, OWN, pin=True), 0.95),
    "cartpole-64-crowded": ThroughputRow(
        _cell("cartpole", 64, ALL), None, {"async": 15.0}, crowded=True
    ),
    "cartpole-8": ThroughputRow(_cell("cartpole", 8, ALL), 0.75, {"async": 9.0, "sync": 1.4}),
    "null-64": ThroughputRow(_cell("null", 64, ALL), None, {"async": 500.0, "sync": 4.5}),
    "null-8": ThroughputRow(_cell("null", 8, ALL), None, {"async": 75.0}),
    "spin100-64": ThroughputRow(_cell("spin100", 64, OWN), 0.98),
    "pong-64": ThroughputRow(_cell("pong", 64, OWN), 0.92),
    "image-64": ThroughputRow(_cell("image", 64, ("envring", "async")), None, {"async": 180.0}),
    "dict5-64": ThroughputRow(_cell("dict5", 64, ("envring", "async")), None, {"async": 200.0}),
    "info5-64": ThroughputRow(_cell("info5", 64, ("envring", "async")), None, {"async": 200.0}),
}


def _beside(num_envs: int, busy: int, think: float = 0.0) -> ThroughputRow:
    """Other programs compute, too: the default is not far from sleeping at once, nor from Async."""
    contestants = (
        Contestant("envring", "envring", RING),
        Contestant("spin=0", "envring", {**RING, "spin": 0}),
        Contestant("async", "async"),
    )
    cell = Cell("cartpole", num_envs, contestants, think=think, busy=busy)
    return ThroughputRow(cell, None, {"spin=0": 0.7, "async": 0.9})


THROUGHPUT |= {
    f"busy-{busy}-{num_envs}{'-thinking' if think else ''}": _beside(num_envs, busy, think)
    for num_envs, think in ((1, 0.0), (8, 0.0), (8, 300e-6), (64, 0.0))
    for busy in (1, 2, 4)
}
# rows that need a package that is not installed are left out, with a note
ABSENT = {
    row: absent
    for row, each in THROUGHPUT.items()
    if (absent := workloads.WORKLOADS[each.cell.workload].absent)
}


def start_and_close(peer: str, options: dict[str, Any]) -> tuple[float, float]:
    """Seconds to construct and to close 64 CartPoles in a fresh process."""
    process = PeerProcess(peer, "cartpole", 64, options)
    try:
        return process.ready(START_TIMEOUT), process.close(CLOSE_TIMEOUT)
    finally:
        process.kill()


def _starts(context: str | None, trials: int, deadline: float) -> tuple[list[float], ...]:
    """Start ours and Async by turns; return the seconds to construct both and to close both."""
    ours, theirs = [], []
    for _ in range(trials):
        begun = time.monotonic()
        ours.append(start_and_close("envring", {**RING, "context": context}))
        theirs.append(start_and_close("async", {"context": context}))
        if 2 * time.monotonic() - begun > deadline:
            break
    built, closed = zip(*ours, strict=True)
    async_built, async_closed = zip(*theirs, strict=True)
    return list(built), list(async_built), list(closed), list(async_closed)


def _each(over: Sequence[float], under: Sequence[float]) -> Spread | None:
    return spread(a / b for a, b in zip(over, under, strict=True))


def measure_start(row: str, deadline: float) -> Iterator[Verdict]:
    """Construction and closing with the default context."""
    built, theirs, closed, _ = _starts(None, FORK_TRIALS, deadline)
    note = f"{_median(built):.3f} s against {_median(theirs):.3f} s"
    goal = Goal("of Async's start", "", 0.5, at_most=True)
    yield Verdict(row, goal, _each(built, theirs), note)
    yield Verdict(row, Goal("to close", " s", 0.1, at_most=True), spread(closed))


def measure_spawn(row: str, deadline: float) -> Iterator[Verdict]:
    """Construction with `context="spawn"`."""
    built, theirs, _, _ = _starts("spawn", SPAWN_TRIALS, deadline)
    note = f"{_median(built):.2f} s against {_median(theirs):.2f} s"
    goal = Goal("of Async's start", "x", 10.0)
    yield Verdict(row, goal, _each(theirs, built), note)


def measure_idle(row: str, deadline: float) -> Iterator[Verdict]:
    """CPU time of the workers from 5 ms to 505 ms after a step."""
    process = PeerProcess("envring", "cartpole", 64, RING)
    cores = []
    try:
        process.ready(START_TIMEOUT)
        for _ in range(IDLE_TRIALS):
            answer = process.ask(CLOSE_TIMEOUT, op="idle", after=0.005, until=0.505)
            if answer["children"] < CORES:
                raise PeerFailed(f"has {answer['children']} worker processes, not {CORES}")
            cores.append(answer["cpu_seconds"] / answer["seconds"])
            if time.monotonic() > deadline:
                break
        process.close(CLOSE_TIMEOUT)
    finally:
        process.kill()
    goal = Goal("cores, workers idle", "", 0.002, at_most=True)
    yield Verdict(row, goal, spread(cores))


def _median(values: Sequence[float]) -> float:
    found = spread(values)
    return found.median if found else float("nan")


TIMED: dict[str, Callable[[str, float], Iterator[Verdict]]] = {
    "start": measure_start,
    "idle": measure_idle,
    "start-spawn": measure_spawn,
}
ROWS = (*(row for row in THROUGHPUT if row not in ABSENT), *TIMED)


@contextlib.contextmanager
def crowd(crowded: bool) -> Iterator[None]:
    """Run another program on the last of the processors, if `crowded`."""
    if not crowded:
        yield
        return
    busy = f"import os\nos.sched_setaffinity(0, [{allowed_cpus()[CORES - 1]}])\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy]) as process:
        try:
            yield
        finally:
            process.kill()


def measure(
    rows: Sequence[str], end: float, advanced: Callable[[str, int], None]
) -> tuple[list[Verdict], list[CellResult]]:
    """Measure the named rows until about `end`, a time of `time.monotonic`."""
    verdicts: list[Verdict] = []
    results: list[CellResult] = []
    cells = [row for row in rows if row in THROUGHPUT]
    reserve = 15.0 * ("start" in rows) + 5.0 * ("idle" in rows)
    reserve += SPAWN_RESERVE_SECONDS * ("start-spawn" in rows)
    for index, row in enumerate(cells):
        now = time.monotonic()
        share = max(3.0, (end - reserve - now) / (len(cells) - index))
        result = THROUGHPUT[row].measure(now + share)
        results.append(result)
        verdicts += THROUGHPUT[row].judge(row, result)
        advanced(row, 1)
    for row in (row for row in rows if row in TIMED):
        try:
            verdicts += TIMED[row](row, end)
        except PeerFailed as failure:
            verdicts.append(Verdict(row, Goal("measured", "", 1.0), None, str(failure)))
        advanced(row, 1)
    return verdicts, results


def use_two_processors() -> None:
    """Restrict this process, and so every peer, to the first `CORES` processors it may use."""
    os.sched_setaffinity(0, allowed_cpus()[:CORES])


def show(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print a line for each goal, then the notes."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("row", "figure", "quartiles", "goal", "", "of what", box=SIMPLE_HEAD)
    for each in verdicts:
        goal, found = each.goal, each.figure
        table.add_row(
            each.row,
            "-" if found is None else f"{found.median:.3g}{goal.unit}",
            "-" if found is None else f"{found.low:.3g} to {found.high:.3g}",
            f"{'<=' if goal.at_most else '>='} {goal.limit:g}{goal.unit}",
            "[green]PASS[/]" if each.passed else "[bold red]MISS[/]",
            goal.what,
        )
    console.print(table)
    for row, note in dict.fromkeys((each.row, each.note) for each in verdicts if each.note):
        console.print(f"{row}: {note}", markup=False, highlight=False)


def main() -> int:
    """Measure and print a verdict for each goal; return 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (default: all)"
    )
    parser.add_argument("--seconds", type=float, default=450.0, help="time budget (default: 450)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample to this file")
    options = parser.parse_args()
    rows = [row for row in ROWS if not options.rows or row in options.rows]
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; choose from {', '.join(ROWS)}")
    require_extra("rich")
    from rich.console import Console

    from envring.bench.measuring import results
    from envring.bench.reporting import terminal, wording

    use_two_processors()
    console = Console()
    hardware = machine.describe() | {"load_before": machine.load_average()}
    end = time.monotonic() + options.seconds
    with terminal.progress(console) as progress:
        task = progress.add_task(rows[0], total=len(rows), refresh=True)

        def advanced(row: str, by: int) -> None:
            following = rows[rows.index(row) + 1 :] or [row]
            progress.update(task, advance=by, description=following[0], refresh=True)

        verdicts, cells = measure(rows, end, advanced)
    hardware["load_after"] = machine.load_average()
    show(console, verdicts)
    for row, absent in ABSENT.items():
        console.print(f"{row}: left out, {absent}", markup=False, highlight=False)
    console.print(wording.machine_line(hardware), style="dim", highlight=False)
    console.print(f"load {hardware['load_before']} to {hardware['load_after']}", highlight=False)
    if options.json:
        goals = [asdict(each) | {"passed": each.passed} for each in verdicts]
        document = results.Document(hardware, cells, argv=sys.argv, more={"goals": goals})
        results.write(options.json, document)
    return 0 if all(each.passed for each in verdicts) else 1


if __name__ == "__main__":
    with leaving_on_signals():
        sys.exit(main())
