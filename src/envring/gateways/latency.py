# SPDX-License-Identifier: MIT
"""How long a host took for its answers, as Prometheus counts it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

BOUNDS = (1e-4, 2.5e-4, 1e-3, 2.5e-3, 1e-2, 2.5e-2, 0.1, 0.25, 1.0, 2.5, 10.0)  # seconds


class Latency:
    """A histogram. Threads may add at the same time; a count may then be lost, which is fine."""

    def __init__(self) -> None:
        """Begins empty."""
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add_all(self, seconds: float, counts: Sequence[int]) -> None:
        """Counts several, by bucket."""
        self.total += seconds
        for bucket, count in enumerate(counts):
            self.counts[bucket] += count

    def add(self, seconds: float) -> None:
        """Counts one answer."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
