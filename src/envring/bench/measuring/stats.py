# SPDX-License-Identifier: MIT
"""Medians, spreads, intervals and ratios; no input or output here.

How sure a median is. Rounds are few (3 to 30) and not independent: a machine that drifts makes
neighbours alike, and an interval which takes them as independent is too narrow, so that the next
run does not come near it. `interval` therefore takes the widest of what three views of the same
rounds say, and adds what no single run can see:

- the scatter of single rounds, from the mean absolute deviation, which a few disturbed rounds do
  not blow up as they do a standard deviation, with Student's t for so few of them;
- the same, with as many rounds as they are worth given how alike neighbours are (lag-one
  correlation, corrected for the bias that it has in short series);
- the scatter of the medians of the first, middle and last third, which sees a slow drift;
- `UNSEEN`: two runs of one thing differ by more than their rounds show, since each has processes,
  addresses and placements of its own, which stay the same for all of its rounds. That goes for
  ratios within rounds, and more where others held processors meanwhile (`allowance`). Plain rates
  follow the machine (`DRIFT`); compare them within a run only.

A bootstrap of the rounds would be narrower, and wrong: it covers 95 % only of what is independent.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What two runs of the same differ by beyond what their rounds show: half of a 95 % interval.
UNSEEN = 0.02
DRIFT = 0.15  # the same for plain rates: a shared machine is that much faster an hour later
NORMAL = 1.96  # the 97.5 % quantile of the normal distribution
_PARTS = 3
_MOST_ALIKE = 0.8
# fmt: off
_STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179)
# fmt: on


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles.

    Attributes:
        median: The middle value.
        low: The first quartile.
        high: The third quartile.
        count: How many values it was taken from.
    """

    median: float
    low: float
    high: float
    count: int


def spread(values: Iterable[float]) -> Spread | None:
    """The median and the quartiles of `values`, or None when there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    if len(ordered) == 1:
        return Spread(ordered[0], ordered[0], ordered[0], 1)
    low, median, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return Spread(median, low, high, len(ordered))


@dataclass(frozen=True)
class Interval:
    """A median and where it lies with 95 % confidence.

    Attributes:
        median: The middle value.
        low: The lower end of the interval.
        high: The upper end of the interval; infinite where there is but one value.
        count: How many values it was taken from.
    """

    median: float
    low: float
    high: float
    count: int

    def overlaps(self, other: Interval) -> bool:
        """Whether any value lies in both."""
        return self.low <= other.high and other.low <= self.high

    def over(self, other: Interval) -> Interval:
        """The interval of this over `other`, where the two were taken in separate runs.

        Both have to be positive. Their uncertainties add up as squares of logarithms.
        """
        median = self.median / other.median
        down = math.hypot(_log(self.median, self.low), _log(other.high, other.median))
        up = math.hypot(_log(self.high, self.median), _log(other.median, other.low))
        return Interval(
            median, median * math.exp(-down), median * math.exp(up), min(self.count, other.count)
        )


def interval(
    values: Sequence[float] | NDArray[np.float64], unseen: float = UNSEEN
) -> Interval | None:
    """The median of `values` with its 95 % interval, or None when there are no values.

    Args:
        values: One figure for each round, in the order in which they were taken. Where all are
            positive the interval is taken of their logarithms, as rates and ratios ask for.
        unseen: What runs differ by beyond what their rounds show, as a fraction of the median.

    Returns:
        The interval. One value alone says nothing about its own scatter: its interval is all that
        there is. Two or three say little, and their interval is wide.
    """
    found = np.asarray(values, float)
    if not len(found):
        return None
    median, positive = float(np.median(found)), bool(found.min() > 0)
    if len(found) == 1:
        return Interval(median, 0.0 if positive else -math.inf, math.inf, 1)
    if positive:
        reach = math.hypot(_half_width(np.log(found / median)), unseen)
        return Interval(median, median * math.exp(-reach), median * math.exp(reach), len(found))
    reach = math.hypot(_half_width(found - median), unseen * median)
    return Interval(median, median - reach, median + reach, len(found))


def allowance(outside: float | None, cores: int) -> float:
    """The `unseen` of ratios from a run that was not alone on its machine.

    What others hold throughout a run changes ratios between peers in all rounds alike, so that no
    scatter shows it, and is gone in the next run. Half of the share that they held is what repeats
    on a machine under changing load were apart by.

    Args:
        outside: Processors that others held, None where unknown.
        cores: Usable processors.
    """
    return math.hypot(UNSEEN, 0.5 * (outside or 0.0) / cores)


def _half_width(deviations: NDArray[np.float64]) -> float:
    """Half of the 95 % interval of a median, from deviations in the order of the rounds."""
    count = len(deviations)
    # sqrt(pi / 2): from the mean absolute deviation to the standard deviation of normal values. A
    # median scatters by as much again more than a mean, which the divisor (not count) makes up for.
    scatter = math.sqrt(math.pi / 2) * float(np.abs(deviations).sum()) / (count - 1)
    reach = student(count - 1) * scatter / math.sqrt(count)
    alike = _correlation(np.clip(deviations, -2.5 * scatter, 2.5 * scatter))
    reach *= math.sqrt((1 + alike) / (1 - alike))
    if count >= 2 * _PARTS:
        parts = [float(np.median(part)) for part in np.array_split(deviations, _PARTS)]
        # 0.7: where rounds are independent this view then hardly ever is the widest one.
        drift = 0.7 * statistics.stdev(parts) / math.sqrt(_PARTS)
        reach = max(reach, student(_PARTS - 1) * drift)
    return reach


def _correlation(deviations: NDArray[np.float64]) -> float:
    """How alike neighbours are, from 0 to `_MOST_ALIKE`."""
    centred = deviations - deviations.mean()
    total = float((centred**2).sum())
    if total <= 0:
        return 0.0
    found = float((centred[1:] * centred[:-1]).sum()) / total
    found += (1 + 3 * found) / len(centred)  # Kendall: short series understate it by so much
    return min(max(found, 0.0), _MOST_ALIKE)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    return NORMAL + 2.5 / freedom  # within 0.4 % from here on


def _log(larger: float, smaller: float) -> float:
    return math.log(larger / smaller) if smaller > 0 else math.inf


def paired_ratios(over: Mapping[int, float], under: Mapping[int, float]) -> list[float]:
    """`over / under` for every round that both have, in the order of the rounds.

    The two are compared inside a round because the speed of the machine drifts between rounds.
    """
    return [over[key] / under[key] for key in sorted(over.keys() & under.keys()) if under[key] > 0]
