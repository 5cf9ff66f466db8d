# SPDX-License-Identifier: MIT
"""How many times as fast our side of a group is as another: of a run, and of several runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from envring.bench.stats import Interval, interval, paired_ratios

_Z = 1.96
# Two-sided 95 % quantiles of Student's t by degrees of freedom, from 1; more are taken as 10.
_STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def of_samples(seconds: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """Our side against each other one of a group, each round compared in itself.

    Args:
        seconds: of one operation by side, one value a round. The first side is ours.
    """
    ours, *others = seconds
    found = {}
    for base in others:
        rounds = paired_ratios(dict(enumerate(seconds[base])), dict(enumerate(seconds[ours])))
        each = interval(rounds)
        if each is not None:
            found[base] = each
    return found


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
        return _around(middle, _quantile(count - 1) * math.sqrt(_variance([self]) / count), count)

    def __add__(self, other: Runs) -> Runs:
        """All runs of both."""
        return Runs(self.each + other.each)

    def over(self, other: Runs) -> Interval:
        """How these runs compare with others: 1 where nothing has changed."""
        counts = len(self.each), len(other.each)
        scatter = math.sqrt(_variance([self, other]) * (1 / counts[0] + 1 / counts[1]))
        middle = self.overall.median / other.overall.median
        return _around(middle, _quantile(sum(counts) - 2) * scatter, sum(counts))


def _around(middle: float, reach: float, count: int) -> Interval:
    return Interval(middle, middle * math.exp(-reach), middle * math.exp(reach), count)


def _quantile(free: int) -> float:
    """Without a second run there is only what rounds say, and rounds are many."""
    return _Z if free < 1 else _STUDENT[min(free, len(_STUDENT)) - 1]


def _variance(sets: Iterable[Runs]) -> float:
    """Of a run's logarithm: what runs differ by, but no less than their rounds let expect."""
    squares, free, within = 0.0, 0, []
    for runs in sets:
        logs = [math.log(run.median) for run in runs.each]
        squares += sum((value - statistics.fmean(logs)) ** 2 for value in logs)
        free += len(logs) - 1
        within += [(math.log(run.high / run.low) / (2 * _Z)) ** 2 for run in runs.each]
    return max(squares / free if free else 0.0, statistics.fmean(within))
