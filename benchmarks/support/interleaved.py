# SPDX-License-Identifier: MIT
"""Slices of several sides by turns in one process, so that drift affects all of them alike."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from envring.bench.measuring import machine
from envring.bench.measuring.samples import QUIET

# Takes a slice of about so many seconds and returns the seconds of one operation.
Take = Callable[[float], float]
# Makes a side ready; leaving it cleans up.
Side = Callable[[], AbstractContextManager[Take]]


@dataclass(frozen=True)
class Samples:
    """What was measured.

    Attributes:
        seconds: of one operation, by side, one value a round.
        outside: processors that other programs kept busy meanwhile; None if unknown.
    """

    seconds: Mapping[str, list[float]]
    outside: float | None


def repeated(operation: Callable[[], object]) -> Take:
    """Takes slices by calling `operation` again and again."""

    def advance(times: int) -> None:
        for _ in range(times):
            operation()

    return advancing(advance)


def advancing(
    advance: Callable[[int], None],
    begin: Callable[[], object] = lambda: None,
    count: Callable[[int], int] = lambda times: times,
) -> Take:
    """Takes slices by advancing many times at once.

    Args:
        advance: Runs so many operations; the first ones of a slice are not timed: they wake
            sleepers.
        begin: Called between those and the timed ones.
        count: Turns the number of timed advances into operations.
    """
    clock = time.perf_counter

    def take(seconds: float) -> float:
        times, start = 0, clock()
        while times < 2 or clock() - start < seconds / 10:
            advance(1)
            times += 1
        chunk = max(1, int(seconds / 20 * times / (clock() - start)))
        begin()
        times, start = 0, clock()
        while (elapsed := clock() - start) < seconds:
            advance(chunk)
            times += chunk
        return elapsed / count(times)

    return take


def measure(sides: Mapping[str, Side], rounds: int, seconds: float) -> Samples:
    """Takes one slice of each side per round; another side begins each round.

    A disturbed round is repeated, at most as often as there are rounds; the quietest count.

    Args:
        sides: By name; all are made ready before anything is timed, and live until the end.
        rounds: How many rounds count; one more is taken before them.
        seconds: Length of a slice.
    """
    names = list(sides)
    taken: list[_Round] = []
    with ExitStack() as stack:
        takes = {name: stack.enter_context(open_side()) for name, open_side in sides.items()}
        for take in takes.values():
            take(seconds)
        # pytest has many objects: a collection in the middle of a slice would go through them
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        family = machine.family(os.getpid())
        left = rounds
        while left and len(taken) < 2 * rounds:
            first = len(taken) % len(names)
            busy, own, start = machine.busy_seconds(), _own_cpu_seconds(family), time.perf_counter()
            found = {name: takes[name](seconds) for name in names[first:] + names[:first]}
            elapsed = time.perf_counter() - start
            own, after = _own_cpu_seconds(family) - own, machine.busy_seconds()
            others = None if busy is None or after is None else after - busy - own
            taken.append(_Round(found, elapsed, others))
            left -= not taken[-1].disturbed
    quietest = sorted(range(len(taken)), key=lambda number: taken[number].share)[:rounds]
    kept = [taken[number] for number in sorted(quietest)]
    outside = None
    if all(each.others is not None for each in kept):
        spent = sum(each.others or 0.0 for each in kept)
        outside = max(0.0, spent / sum(each.elapsed for each in kept))
    return Samples({name: [each.seconds[name] for each in kept] for name in names}, outside)


@dataclass(frozen=True)
class _Round:
    """A slice of each side.

    Attributes:
        seconds: of one operation, by side.
        elapsed: Wall time.
        others: CPU seconds of other programs meanwhile; None if unknown.
    """

    seconds: dict[str, float]
    elapsed: float
    others: float | None

    @property
    def share(self) -> float:
        """Processors that other programs kept busy."""
        return (self.others or 0.0) / self.elapsed

    @property
    def disturbed(self) -> bool:
        """Whether that is more than what the kernel's ticks may be wrong by."""
        return (self.others or 0.0) > QUIET * self.elapsed + machine.TICKS


def _own_cpu_seconds(family: Iterable[int]) -> float:
    """CPU seconds of these processes, and of children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return machine.cpu_seconds(family) + ended.ru_utime + ended.ru_stime
