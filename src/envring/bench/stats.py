# SPDX-License-Identifier: MIT
"""Medians, spreads, ratios and the counting of autoreset steps; no input or output here."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


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
    """The median and the quartiles of ``values``, or None when there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    if len(ordered) == 1:
        return Spread(ordered[0], ordered[0], ordered[0], 1)
    low, median, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return Spread(median, low, high, len(ordered))


def paired_ratios(over: Mapping[int, float], under: Mapping[int, float]) -> list[float]:
    """``over / under`` for every round that both have, in the order of the rounds.

    The two are compared inside a round because the speed of the machine drifts between rounds.
    """
    return [over[key] / under[key] for key in sorted(over.keys() & under.keys()) if under[key] > 0]


def count_resets(ends: Sequence[tuple[bytes, bytes]], pending: int = 0) -> tuple[int, int]:
    """How many of the steps in consecutive batches were resets in next-step autoreset.

    An env whose episode ended in one batch spends the following batch on its reset.

    Args:
        ends: For each batch the bytes of ``terminated`` and of ``truncated``, one byte an env.
        pending: How many episodes ended in the batch just before these.

    Returns:
        The number of reset steps, and how many episodes ended in the last batch (the next
        ``pending``).
    """
    resets = 0
    for terminated, truncated in ends:
        resets += pending
        either = int.from_bytes(terminated, "big") | int.from_bytes(truncated, "big")
        pending = either.bit_count()
    return resets, pending
