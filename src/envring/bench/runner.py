# SPDX-License-Identifier: MIT
"""Round-robin measurement: a short slice of every peer in turn, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from envring.bench.process import PeerFailed, PeerProcess
from envring.bench.stats import Spread, paired_ratios, spread

QUIET = 0.15  # processors busy with other things, up to which a slice counts as undisturbed
GRACE_SECONDS = 8.0
CONSTRUCT_SECONDS = 30.0


@dataclass(frozen=True)
class Cell:
    """One workload at one number of envs, for some peers.

    Attributes:
        workload: The name of the workload.
        num_envs: How many envs each peer has.
        peers: Keys of `envring.bench.peers.TITLES`, in the order in which they take their turns.
        options: Per peer the keyword arguments of its constructor.
    """

    workload: str
    num_envs: int
    peers: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """What one peer did in one slice.

    Attributes:
        peer: Whose slice it was.
        round: The round, counted from 0.
        steps: Env steps, resets not among them.
        resets: Env steps that were spent on resets.
        batches: Steps of the whole vector environment.
        seconds: Wall time.
        outside: Processors that were busy with anything else meanwhile; None where unknown.
        kept: False when the slice was disturbed and a repetition replaced it.
    """

    peer: str
    round: int
    steps: int
    resets: int
    batches: int
    seconds: float
    outside: float | None = None
    kept: bool = True

    @property
    def rate(self) -> float:
        """Env steps in a second."""
        return self.steps / self.seconds


@dataclass
class CellResult:
    """Every sample of a cell, and what went wrong.

    Attributes:
        cell: What was measured.
        cores: Usable processors: the ceiling is so many times the rate of the bare loop.
        samples: All slices in the order in which they were taken.
        failures: What went wrong, by peer; a peer may have samples from before its failure.
    """

    cell: Cell
    cores: int
    samples: list[Sample] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def rates(self, peer: str) -> dict[int, float]:
        """Env steps in a second of ``peer``, by round."""
        return {each.round: each.rate for each in self.samples if each.peer == peer and each.kept}

    def rate(self, peer: str) -> Spread | None:
        """Median rate of ``peer`` over the rounds."""
        return spread(self.rates(peer).values())

    def ratio(self, peer: str, base: str) -> Spread | None:
        """How many times as fast as ``base`` ``peer`` was, each round compared in itself."""
        return spread(paired_ratios(self.rates(peer), self.rates(base)))

    def of_ceiling(self, peer: str) -> Spread | None:
        """The fraction of the ceiling that ``peer`` reached, each round compared in itself."""
        ratios = paired_ratios(self.rates(peer), self.rates("bare"))
        return spread(ratio / self.cores for ratio in ratios)

    def outside(self) -> Spread | None:
        """Processors busy with other things during the slices that count."""
        return spread(
            each.outside for each in self.samples if each.kept and each.outside is not None
        )

    def as_json(self) -> dict[str, Any]:
        """Everything, for a JSON file."""
        return {
            "workload": self.cell.workload,
            "num_envs": self.cell.num_envs,
            "cores": self.cores,
            "options": {peer: dict(options) for peer, options in self.cell.options.items()},
            "samples": [asdict(each) | {"rate": each.rate} for each in self.samples],
            "failures": self.failures,
        }


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
    advanced: Callable[[], None] = lambda: None,
) -> CellResult:
    """Measure every peer of ``cell`` in its own process, slice by slice in turn.

    A peer that raises, dies or hangs is reported in ``failures`` and takes no further turn; the
    others go on. No process is left, whatever happens.

    Args:
        cell: What to measure.
        cores: Usable processors.
        rounds: How often each peer gets a slice, time allowing.
        slice_seconds: Length of a slice.
        deadline: The `time.monotonic` moment after which no further round is begun.
        repeats: How often a slice that was disturbed from outside is taken again, as long as the
            rounds are ahead of the deadline.
        construct_seconds: How long a peer may take to be constructed.
        grace: How much longer than a slice a peer may take before it counts as hung, in seconds.
        advanced: Called after each slice.

    Returns:
        The samples and the failures.
    """
    result = CellResult(cell, cores)
    patience = slice_seconds + grace
    with ExitStack() as stack:
        running = _start(cell, result, stack, min(construct_seconds, deadline - time.monotonic()))
        first = time.monotonic()
        for number in range(rounds):
            begun = time.monotonic()
            # A noisy machine gets its rounds, too: only time that is to spare goes into repeats.
            due = first + (deadline - first) * (number + 1) / rounds
            for peer in list(running):
                try:
                    for sample in _take(
                        running[peer], peer, number, slice_seconds, patience, repeats, due
                    ):
                        result.samples.append(sample)
                except PeerFailed as failure:
                    result.failures[peer] = str(failure)
                    running.pop(peer).kill()
                advanced()
            if not running or 2 * time.monotonic() - begun > deadline:
                break
        for peer, process in running.items():
            try:
                process.close(patience)
            except PeerFailed as failure:
                result.failures[peer] = str(failure)
    return result


def _start(
    cell: Cell, result: CellResult, stack: ExitStack, timeout: float
) -> dict[str, PeerProcess]:
    """Start all peers at once, so that they construct side by side, and keep those that do."""
    started = {}
    for peer in cell.peers:
        process = PeerProcess(peer, cell.workload, cell.num_envs, cell.options.get(peer, {}))
        stack.callback(process.kill)
        started[peer] = process
    until = time.monotonic() + timeout
    running = {}
    for peer, process in started.items():
        try:
            process.ready(max(1.0, until - time.monotonic()))
            running[peer] = process
        except PeerFailed as failure:
            result.failures[peer] = str(failure)
            process.kill()
    return running


def _take(
    process: PeerProcess,
    peer: str,
    number: int,
    seconds: float,
    patience: float,
    repeats: int,
    due: float,
) -> Iterator[Sample]:
    """Take one slice, and again while it is disturbed and not ``due``; keep the quietest."""
    attempts: list[Sample] = []
    for _ in range(1 + repeats):
        answer = process.ask(patience, op="slice", seconds=seconds)
        attempts.append(
            Sample(
                peer,
                number,
                steps=int(answer["steps"]),
                resets=int(answer["resets"]),
                batches=int(answer["batches"]),
                seconds=float(answer["seconds"]),
                outside=answer["outside"],
            )
        )
        if (attempts[-1].outside or 0.0) <= QUIET or time.monotonic() + seconds > due:
            break
    best = quietest(attempts)
    for index, attempt in enumerate(attempts):
        yield attempt if index == best else Sample(**{**asdict(attempt), "kept": False})


def quietest(attempts: Sequence[Sample]) -> int:
    """The index of the attempt with the least going on outside."""
    return min(range(len(attempts)), key=lambda index: attempts[index].outside or 0.0)
