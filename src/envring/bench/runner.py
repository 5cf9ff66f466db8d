# SPDX-License-Identifier: MIT
"""Round-robin measurement: a short slice of every peer in turn, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from envring.bench.cells import QUIET, Cell, CellResult, Sample
from envring.bench.process import PeerFailed, PeerProcess

GRACE_SECONDS = 8.0
CONSTRUCT_SECONDS = 30.0


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
    for each in cell.contestants:
        process = PeerProcess(each.peer, cell.workload, cell.num_envs, each.options)
        stack.callback(process.kill)
        started[each.label] = process
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
        yield attempt if index == best else replace(attempt, kept=False)


def quietest(attempts: Sequence[Sample]) -> int:
    """The index of the attempt with the least going on outside."""
    return min(range(len(attempts)), key=lambda index: attempts[index].outside or 0.0)
