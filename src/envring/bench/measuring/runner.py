# SPDX-License-Identifier: MIT
"""Round-robin measurement: a short slice of every peer in turn, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from envring.bench import peers, workloads
from envring.bench.measuring import machine
from envring.bench.measuring.company import company
from envring.bench.measuring.orphans import Guard
from envring.bench.measuring.process import PeerFailed, PeerProcess
from envring.bench.measuring.samples import QUIET, CellResult, Footprint, Latency, Sample
from envring.bench.plan.cells import BARE_ALL, OURS, REMOTE, Cell, Contestant

GRACE_SECONDS = 8.0
IMPORT_SECONDS = 60.0  # an env may import torch, from a cold disk
CONSTRUCT_SECONDS = 30.0
SHORTEST_SLICE = 0.05
_LEAST_ROUNDS = 3  # even if starting the peers took all of the time
_WARM_UP = 1.1  # a slice takes so many times its length, with its untimed warm-up
_TURN_SECONDS = 0.02  # to stop one peer, wake the next and read its counters
_CLOSING_SHARE = 0.06  # of a cell's time, for closing and for reading the memory


@dataclass(frozen=True)
class _Pace:
    """The time limits of the rounds.

    Attributes:
        rounds: How many slices each peer gets, if time allows.
        slice_seconds: Length of a slice.
        repeats: How often a disturbed slice is repeated.
        grace: How much longer than a slice a peer may take, in seconds.
        end: The `time.monotonic` by which the last round is over.
    """

    rounds: int
    slice_seconds: float
    repeats: int
    grace: float
    end: float

    def patience(self) -> float:
        """How long to wait for a slice that starts now: less and less after `end`."""
        late = max(0.0, time.monotonic() - self.end)
        return self.slice_seconds + max(0.5, self.grace - late)


@dataclass(frozen=True)
class _Patience:
    """The time limit for something that several peers do one after the other.

    Attributes:
        least: Seconds that each peer gets, even if those before it were slow.
        until: The `time.monotonic` by which all should be done.
    """

    least: float
    until: float

    @classmethod
    def of(cls, seconds: float) -> _Patience:
        """Start the time limit now: `seconds` for all peers, at least a third of that for each."""
        return cls(max(2.0, seconds / 3), time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds for the next peer; if it hangs, as much is left for those after it."""
        return max(self.least, (self.until - time.monotonic()) / 2)


def run_cell(
    cell: Cell,
    *,
    cores: int,
    rounds: int,
    slice_seconds: float,
    deadline: float,
    repeats: int = 1,
    construct_seconds: float = CONSTRUCT_SECONDS,
    grace: float = GRACE_SECONDS,
    breakdown_seconds: float = 0.0,
    advanced: Callable[[], None] = lambda: None,
) -> CellResult:
    """Measure every peer of `cell` in its own process, slice by slice in turn.

    All peers import at once, then each is constructed while the others rest. All processes of a
    peer are stopped while it is not its turn, so that one that spins cannot disturb the others.
    Every other round goes backwards, so that a machine that gets slower and slower favours no peer.

    A peer that raises, dies or hangs is reported in `failures` and takes no further turn; the
    others go on. One that is not installed, or cannot do this workload, is reported in
    `refusals`. No process is left behind, even if the caller is killed.

    Args:
        cell: What to measure.
        cores: Usable processors.
        rounds: How many slices each peer gets, if time allows.
        slice_seconds: Length of a slice; shorter, down to `SHORTEST_SLICE`, if there is not enough
            time for all rounds.
        deadline: The `time.monotonic` by which all should be over. Peers that hang or are slow to
            start may delay it.
        repeats: How often a slice that other programs disturbed is repeated, while the rounds are
            ahead of the deadline.
        construct_seconds: The time limit for constructing all peers; each gets at least a third of
            it.
        grace: How much longer than a slice a peer may take before it counts as hung, in seconds.
        breakdown_seconds: How long to measure, after the rounds, where the time of a step goes, for
            each of envring's own peers; 0: not at all.
        advanced: Called after each slice.

    Returns:
        The samples, the footprints, the breakdowns and the failures.

    Raises:
        ValueError: if there is no such workload or peer.
    """
    result = CellResult(cell, cores)
    with ExitStack() as stack:
        begun = time.monotonic()
        guard = stack.enter_context(Guard())
        loaded = _load(cell, result, stack, guard, _Patience.of(IMPORT_SECONDS))
        running = _construct(loaded, result, _Patience.of(construct_seconds))
        ours = [
            each.label
            for each in cell.contestants
            if each.peer.startswith(OURS) and each.label != REMOTE  # no worker there has a clock
        ]
        closing = _CLOSING_SHARE * (deadline - begun) + len(ours) * breakdown_seconds
        repeats = 0 if cell.busy else repeats  # every slice is disturbed, as asked for
        pace = _pace(len(running), rounds, slice_seconds, repeats, grace, deadline - closing)
        with company(cell.busy, guard):
            _take_turns(running, result, pace, advanced)
        for label, process in running.items():
            if not result.of(label):
                result.failures[label] = "not measured: the others left no time for it"
            memory = process.memory_bytes()
            result.footprints[label] = replace(
                result.footprints[label], memory_bytes=memory, processes=process.processes
            )
        if breakdown_seconds:
            _break_down(running, ours, result, breakdown_seconds, grace)
        patience = _Patience.of(5 * grace)  # some packages end 64 processes one after the other
        for label, process in running.items():
            process.resume()
            try:
                seconds = process.close(patience.left())
            except PeerFailed as failure:
                result.failures[label] = str(failure)
            else:
                result.footprints[label] = replace(result.footprints[label], close_seconds=seconds)
    return result


def ask_alone(cell: Cell, label: str, *, timeout: float, **request: Any) -> dict[str, Any]:
    """Send one request to one contestant of `cell`, in a fresh process of its own.

    Args:
        cell: The contestant's cell.
        label: The contestant's label.
        timeout: Seconds for the start, for the answer and for the end, each.
        request: `op` and its arguments: `op="trace"` with a `path`.

    Returns:
        The answer.

    Raises:
        PeerFailed: if it raised, died, or took longer.
        StopIteration: if there is no such contestant.
    """
    contestant = next(each for each in cell.contestants if each.label == label)
    with ExitStack() as stack:
        process = _launch(cell, contestant, stack, stack.enter_context(Guard()))
        process.ready(timeout)
        answer = process.ask(timeout, **request)
        process.close(timeout)
    return answer


def _launch(cell: Cell, contestant: Contestant, stack: ExitStack, guard: Guard) -> PeerProcess:
    options = dict(contestant.options)
    if cell.num_workers is not None and peers.find(contestant.peer).takes_workers:
        options.setdefault("num_workers", cell.num_workers)
    num_envs = contestant.num_envs or cell.num_envs
    process = PeerProcess(contestant.peer, cell.workload, num_envs, options, cell.think)
    stack.callback(guard.forget, process.pid)
    stack.callback(process.kill)
    guard.watch(process.pid)
    return process


def _refusal(cell: Cell, contestant: Contestant) -> str | None:
    adapter = peers.find(contestant.peer)
    if peers.installed(adapter) is None:
        return f"not installed: pip install {adapter.requirement}"
    if cell.think and contestant.peer == BARE_ALL:
        return "loops on all cores have no caller that could compute between steps"
    return adapter.refuses(workloads.find(cell.workload), contestant.num_envs or cell.num_envs)


def _load(
    cell: Cell, result: CellResult, stack: ExitStack, guard: Guard, patience: _Patience
) -> dict[str, PeerProcess]:
    """Have all peers import at once; return those that succeed, paused."""
    started: dict[str, PeerProcess] = {}
    for each in cell.contestants:
        reason = _refusal(cell, each)
        if reason is None:
            started[each.label] = _launch(cell, each, stack, guard)
        else:
            result.refusals[each.label] = reason
    running: dict[str, PeerProcess] = {}
    for label, process in started.items():
        try:
            process.load(patience.left())
        except PeerFailed as failure:
            result.failures[label] = str(failure)
            process.kill()
        else:
            process.pause()
            running[label] = process
    return running


def _construct(
    loaded: dict[str, PeerProcess], result: CellResult, patience: _Patience
) -> dict[str, PeerProcess]:
    """Have peers construct one by one; return those that succeed, paused."""
    running = {}
    for label, process in loaded.items():
        process.resume()
        try:
            seconds = process.construct(patience.left())
        except PeerFailed as failure:
            result.failures[label] = str(failure)
            process.kill()
        else:
            process.pause()
            result.footprints[label] = Footprint(seconds)
            running[label] = process
    return running


def _pace(
    peers_left: int, rounds: int, seconds: float, repeats: int, grace: float, end: float
) -> _Pace:
    """Shorten the slices so that all rounds fit, or the least number if it is late."""
    now = time.monotonic()
    least = _LEAST_ROUNDS * peers_left * (SHORTEST_SLICE * _WARM_UP + _TURN_SECONDS)
    end = max(end, now + least)
    turn = (end - now) / (rounds * max(1, peers_left))
    fitting = (turn - _TURN_SECONDS) / _WARM_UP
    return _Pace(rounds, min(seconds, max(SHORTEST_SLICE, fitting)), repeats, grace, end)


def _take_turns(
    running: dict[str, PeerProcess],
    result: CellResult,
    pace: _Pace,
    advanced: Callable[[], None],
) -> None:
    """Take the rounds; remove peers that fail from `running`."""
    first = time.monotonic()
    for number in range(pace.rounds):
        took = 0.0  # by the peers that are left for the next round
        order = list(running) if number % 2 == 0 else list(reversed(running))
        for index, label in enumerate(order, 1):
            begun = time.monotonic()
            if begun > pace.end + pace.grace:
                return
            # Only spare time goes into repeats, so that a noisy machine gets its rounds too.
            part = (number + index / len(order)) / pace.rounds
            due = first + (pace.end - first) * part
            process = running[label]
            process.resume()
            try:
                for sample in _take(process, label, number, pace, due):
                    result.samples.append(sample)
            except PeerFailed as failure:
                result.failures[label] = str(failure)
                running.pop(label).kill()
            else:
                process.pause()
                took += time.monotonic() - begun
            advanced()
        if not running or time.monotonic() + 0.9 * took > pace.end:
            return


def _break_down(
    running: dict[str, PeerProcess],
    labels: Sequence[str],
    result: CellResult,
    seconds: float,
    grace: float,
) -> None:
    """Ask the peers of `labels` that are left where their time goes; remove those that fail."""
    for label in [each for each in labels if each in running]:
        process = running[label]
        process.resume()
        try:
            answer = process.ask(seconds + grace, op="breakdown", seconds=seconds)
        except PeerFailed as failure:
            result.failures[label] = str(failure)
            running.pop(label).kill()
        else:
            process.pause()
            result.breakdowns[label] = answer["breakdown"]


def _take(
    process: PeerProcess, label: str, number: int, pace: _Pace, due: float
) -> Iterator[Sample]:
    """Take one slice, repeat it while it is disturbed and not `due`; keep the quietest."""
    attempts: list[Sample] = []
    for _ in range(1 + pace.repeats):
        answer = process.ask(pace.patience(), op="slice", seconds=pace.slice_seconds)
        attempts.append(_sample(label, number, answer))
        noise = (attempts[-1].outside or 0.0) - machine.TICKS / attempts[-1].seconds
        if noise <= QUIET or time.monotonic() + pace.slice_seconds > due:
            break
    best = quietest(attempts)
    for index, attempt in enumerate(attempts):
        yield attempt if index == best else replace(attempt, kept=False)


def _sample(label: str, number: int, answer: dict[str, Any]) -> Sample:
    found = answer["latency"]
    return Sample(
        label,
        number,
        steps=int(answer["steps"]),
        resets=int(answer["resets"]),
        batches=int(answer["batches"]),
        seconds=float(answer["seconds"]),
        outside=answer["outside"],
        cpu=answer["cpu"],
        voluntary=answer["voluntary"],
        involuntary=answer["involuntary"],
        latency=None if found is None else Latency(**found),
    )


def quietest(attempts: Sequence[Sample]) -> int:
    """The index of the attempt that other programs disturbed least."""
    return min(range(len(attempts)), key=lambda index: attempts[index].outside or 0.0)
