# SPDX-License-Identifier: MIT
"""How many times as fast our side of a group is as another: of a run, and of several runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from envring.bench.measuring.stats import NORMAL, Interval, paired_ratios, student

_MOST_FREE = 10  # degrees of freedom: more are taken as so many


def by_round(seconds: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """How many times as fast our side was as each other one of a group, in each round.

    Args:
        seconds: of one operation by side, one value a round. The first side is ours.
    """
    ours, *others = seconds
    return {
        base: paired_ratios(dict(enumerate(seconds[base])), dict(enumerate(seconds[ours])))
        for base in others
    }


def of_run(rounds: Sequence[float], unseen: float = 0.0) -> Interval:
    """The median of a run's rounds with the 95 % interval that their order gives.

    It supposes nothing of how rounds scatter, and up to a quarter of them may be disturbed however
    much. What a whole run shares they cannot show: for that there are `Runs`. With less than six
    rounds it is all of them.

    Args:
        rounds: Ratios, at least one.
        unseen: What the run may be off by as a whole, as
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

    Rounds of one run share its luck: where its memory lies, which processor its workers were woken
    on, how fast the machine was in that minute. What two runs differ by is known only from runs.
    """

    each: tuple[Interval, ...]

    @property
    def overall(self) -> Interval:
        """The median of the runs, with an interval that holds what runs differ by."""
        count = len(self.each)
        middle = statistics.median(run.median for run in self.each)
        scatter = max(_between([self]), self._within()) / count
        return _around(middle, _quantile(count - 1) * math.sqrt(scatter), count)

    def __add__(self, other: Runs) -> Runs:
        """All runs of both."""
        return Runs(self.each + other.each)

    def over(self, other: Runs) -> Interval:
        """How these runs compare with others: 1 where nothing has changed."""
        counts = len(self.each), len(other.each)
        between = _between([self, other])
        scatter = sum(max(between, runs._within()) / len(runs.each) for runs in (self, other))
        middle = self.overall.median / other.overall.median
        return _around(middle, _quantile(sum(counts) - 2) * math.sqrt(scatter), sum(counts))

    def _within(self) -> float:
        """The variance of a run's logarithm that its rounds let expect: of the median run."""
        return statistics.median(
            (math.log(run.high / run.low) / (2 * NORMAL)) ** 2 for run in self.each
        )


def _around(middle: float, reach: float, count: int) -> Interval:
    return Interval(middle, middle * math.exp(-reach), middle * math.exp(reach), count)


def _quantile(free: int) -> float:
    """Without a second run there is only what rounds say, and rounds are many."""
    return NORMAL if free < 1 else student(min(free, _MOST_FREE))


def _between(sets: Iterable[Runs]) -> float:
    """The variance of a run's logarithm by what the runs of each set differ by."""
    squares, free = 0.0, 0
    for runs in sets:
        logs = [math.log(run.median) for run in runs.each]
        squares += sum((value - statistics.fmean(logs)) ** 2 for value in logs)
        free += len(logs) - 1
    return squares / free if free else 0.0
