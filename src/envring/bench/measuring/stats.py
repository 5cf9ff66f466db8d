# SPDX-License-Identifier: MIT
"""Medians, spreads, intervals and ratios; no input or output here.

How uncertain a median is. Rounds are few (3 to 30) and not independent: on a machine that drifts,
neighbouring rounds resemble each other, and an interval that treats them as independent is too
narrow to hold the next run's median. `interval` therefore takes the widest of three estimates from
the same rounds, and adds what a single run cannot show:

- the scatter of single rounds, from the mean absolute deviation, which a few disturbed rounds
  inflate less than a standard deviation, with Student's t for so few rounds;
- the same, with fewer rounds the more neighbours resemble each other (lag-one correlation,
  corrected for its bias in short series);
- the scatter of the medians of the first, middle and last third, which shows a slow drift;
- `UNSEEN`: two runs of the same thing differ by more than their rounds show, because each run has
  processes, addresses and placements of its own, which stay the same for all of its rounds. This
  holds for ratios within rounds, and more if other programs held processors meanwhile
  (`allowance`). Plain rates follow the speed of the machine (`DRIFT`): compare them within a run
  only.

A bootstrap of the rounds would be narrower, and wrong: it covers 95 % only of independent rounds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# By how much two runs of the same thing differ beyond what their rounds show: half of a 95 %
# interval.
UNSEEN = 0.02
DRIFT = 0.15  # the same for plain rates: the speed of a shared machine changes by that much
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
    """A median with its 95 % confidence interval.

    Attributes:
        median: The middle value.
        low: The lower end of the interval.
        high: The upper end of the interval; infinite if there is only one value.
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
        """The ratio of this to `other`, for intervals from separate runs.

        Both must be positive. Their uncertainties add up as squares of logarithms.
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
        values: One value for each round, in order. If all are positive, the interval is computed
            from their logarithms, which suits rates and ratios.
        unseen: By how much runs differ beyond what their rounds show, as a fraction of the median.

    Returns:
        The interval. That of a single value is unbounded, because its scatter is unknown; that of
        two or three is wide.
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
    """The `unseen` of ratios from a run that shared its machine with other programs.

    A program that runs throughout changes the ratios of all rounds alike: the scatter does not show
    it, and the next run may not have it. On a machine under changing load, repeated runs differed
    by half of the share of processors that others held.

    Args:
        outside: Processors that other programs held; None if unknown.
        cores: Usable processors.
    """
    return math.hypot(UNSEEN, 0.5 * (outside or 0.0) / cores)


def _half_width(deviations: NDArray[np.float64]) -> float:
    """Half of the 95 % interval of a median, from deviations in the order of the rounds."""
    count = len(deviations)
    # sqrt(pi / 2) turns the mean absolute deviation of normal values into their standard deviation.
    # A median scatters more than a mean, by the same factor; the divisor, which is not count, makes
    # up for that.
    scatter = math.sqrt(math.pi / 2) * float(np.abs(deviations).sum()) / (count - 1)
    reach = student(count - 1) * scatter / math.sqrt(count)
    alike = _correlation(np.clip(deviations, -2.5 * scatter, 2.5 * scatter))
    reach *= math.sqrt((1 + alike) / (1 - alike))
    if count >= 2 * _PARTS:
        parts = [float(np.median(part)) for part in np.array_split(deviations, _PARTS)]
        # 0.7: so that this estimate is hardly ever the widest one if rounds are independent.
        drift = 0.7 * statistics.stdev(parts) / math.sqrt(_PARTS)
        reach = max(reach, student(_PARTS - 1) * drift)
    return reach


def _correlation(deviations: NDArray[np.float64]) -> float:
    """How much neighbours resemble each other, from 0 to `_MOST_ALIKE`."""
    centred = deviations - deviations.mean()
    total = float((centred**2).sum())
    if total <= 0:
        return 0.0
    found = float((centred[1:] * centred[:-1]).sum()) / total
    found += (1 + 3 * found) / len(centred)  # Kendall's correction for short series
    return min(max(found, 0.0), _MOST_ALIKE)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    return NORMAL + 2.5 / freedom  # within 0.4 % from here on


def _log(larger: float, smaller: float) -> float:
    return math.log(larger / smaller) if smaller > 0 else math.inf


def paired_ratios(over: Mapping[int, float], under: Mapping[int, float]) -> list[float]:
    """`over / under` for each round that both have, in order.

    Ratios are taken within rounds because the speed of the machine drifts between them.
    """
    return [over[key] / under[key] for key in sorted(over.keys() & under.keys()) if under[key] > 0]
