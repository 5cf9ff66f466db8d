# SPDX-License-Identifier: MIT
"""What a batcher tells of its steps, for statistics and traces."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Follows the steps of a vector env.

    It is called in the caller's thread, so what it does makes the step longer. What the workers did
    meanwhile is in the segment's statistics.
    """

    def step_started(self) -> None:
        """A step was called; its actions are not yet checked and copied."""

    def arrays_taken(self, nanoseconds: int) -> None:
        """Arrays of a complete step, or some of them, were handed out in so many ns."""
