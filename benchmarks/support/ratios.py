# SPDX-License-Identifier: MIT
"""The speed of our side of a group over that of another: of a run, and of several runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from envring.bench.measuring.stats import NORMAL, Interval, paired_ratios, student

_MOST_FREE = 10  # degrees of freedom: more are taken as so many


def by_round(seconds: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """The speed of our side of a group over that of each other one, in each round.

    Args:
        seconds: of one operation by side, one value a round. The first side is ours.
    """
    ours, *others = seconds
    return {
        base: paired_ratios(dict(enumerate(seconds[base])), dict(enumerate(seconds[ours])))
        for base in others
    }


def of_run(rounds: Sequence[float], unseen: float = 0.0) -> Interval:
    """The median of a run's rounds with the 95 % interval that their ranks give.

    It assumes nothing about how rounds scatter, and up to a quarter of them may be disturbed by any
    amount. It cannot show what all rounds of a run share: see `Runs`. With fewer than six rounds it
    spans all of them.

    Args:
        rounds: Ratios, at least one.
        unseen: By how much the run as a whole may be off, as
            `envring.bench.measuring.stats.allowance` has it.
    """
    ordered, count = sorted(rounds), len(rounds)
    below, chance = 0, 0.5**count
    while chance <= 0.025:  # of more than `below` rounds on one side of the true median
        below += 1
        chance += math.comb(count, below) * 0.5**count
    below = max(below - 1, 0)
    median, low, high = statistics.median(ordered), ordered[below], ordered[count - 1 - below]
    down = math.exp(-math.hypot(math.log(median / low), unseen))
    up = math.exp(math.hypot(math.log(high / median), unseen))
    return Interval(median, median * down, median * up, count)


@dataclass(frozen=True)
class Runs:
    """The same ratio in several runs, each a process of its own.

    The rounds of one run share its memory addresses, the processors on which its workers were
    woken, and the speed of the machine in that minute. Only several runs show how much runs differ.
    """

    each: tuple[Interval, ...]

    @property
    def overall(self) -> Interval:
        """The median of the runs, with an interval that includes how much runs differ."""
        count = len(self.each)
        middle = statistics.median(run.median for run in self.each)
        scatter = max(_between([self]), self._within()) / count
        return _around(middle, _quantile(count - 1) * math.sqrt(scatter), count)

    def __add__(self, other: Runs) -> Runs:
        """All runs of both."""
        return Runs(self.each + other.each)

    def over(self, other: Runs) -> Interval:
        """The ratio of these runs to others: 1 if nothing has changed."""
        counts = len(self.each), len(other.each)
        between = _between([self, other])
        scatter = sum(max(between, runs._within()) / len(runs.each) for runs in (self, other))
        middle = self.overall.median / other.overall.median
        return _around(middle, _quantile(sum(counts) - 2) * math.sqrt(scatter), sum(counts))

    def _within(self) -> float:
        """The variance of a run's logarithm, estimated from its rounds; of the median run."""
        return statistics.median(
            (math.log(run.high / run.low) / (2 * NORMAL)) ** 2 for run in self.each
        )


def _around(middle: float, reach: float, count: int) -> Interval:
    return Interval(middle, middle * math.exp(-reach), middle * math.exp(reach), count)


def _quantile(free: int) -> float:
    """The 97.5 % quantile; without a second run there are only the rounds, which are many."""
    return NORMAL if free < 1 else student(min(free, _MOST_FREE))


def _between(sets: Iterable[Runs]) -> float:
    """The variance of a run's logarithm, estimated from the differences within each set."""
    squares, free = 0.0, 0
    for runs in sets:
        logs = [math.log(run.median) for run in runs.each]
        squares += sum((value - statistics.fmean(logs)) ** 2 for value in logs)
        free += len(logs) - 1
    return squares / free if free else 0.0
