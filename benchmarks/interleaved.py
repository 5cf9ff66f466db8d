# SPDX-License-Identifier: MIT
"""Slices of several sides by turns in one process, so that what drifts meets all of them alike."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from envring.bench import machine

# Takes a slice of about so many seconds and returns the seconds of one operation.
Take = Callable[[float], float]
# Makes a side ready; leaving it takes everything away again.
Side = Callable[[], AbstractContextManager[Take]]


@dataclass(frozen=True)
class Samples:
    """What was measured.

    Attributes:
        seconds: of one operation, by side, one value a round.
        outside: processors that were busy with anything else meanwhile; None where unknown.
    """

    seconds: Mapping[str, list[float]]
    outside: float | None


def repeated(operation: Callable[[], object]) -> Take:
    """Takes slices by calling ``operation`` again and again."""

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
        advance: Goes on so many times; the first ones of a slice are not timed: they wake what
            slept.
        begin: Called between those and the timed ones.
        count: How many operations so many timed ones were.
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
    """Takes one slice of each side a round; who begins changes from round to round.

    Args:
        sides: By name; all are made ready before anything is timed, and live until the end.
        rounds: How many rounds count; one more goes before them.
        seconds: Length of a slice.
    """
    names = list(sides)
    taken: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        takes = {name: stack.enter_context(open_side()) for name, open_side in sides.items()}
        for take in takes.values():
            take(seconds)
        # pytest's own objects are many: they would be looked through in the middle of a slice
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        busy, own, start = machine.busy_seconds(), _own_cpu_seconds(), time.perf_counter()
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                taken[name].append(takes[name](seconds))
        elapsed = time.perf_counter() - start
        own, after = _own_cpu_seconds() - own, machine.busy_seconds()
    if busy is None or after is None:
        return Samples(taken, None)
    return Samples(taken, max(0.0, (after - busy - own) / elapsed))


def _own_cpu_seconds() -> float:
    """CPU time of this process, of its descendants, and of those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = machine.cpu_seconds(machine.family(os.getpid()))
    return living + ended.ru_utime + ended.ru_stime
