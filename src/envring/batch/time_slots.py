# SPDX-License-Identifier: MIT
"""Slots that follow each other in time: what was stored in them, as arrays over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envring.errors import EnvringError
from envring.transport.segment import SegmentMemoryError

if TYPE_CHECKING:
    from envring.batch.batcher import Batcher


class TimeSlots:
    """The last slots of a segment, one behind the other.

    Attributes:
        count: how many there are.
        first: the number of the first one.
        observations: (count, num_envs, ...) of each leaf, in the space's structure: views.
        rewards: (count, num_envs) float64: a view.
        terminations: (count, num_envs) bool: a view.
        truncations: (count, num_envs) bool: a view.
    """

    def __init__(self, batcher: Batcher, count: int) -> None:
        """Takes them for good, with their memory.

        Raises:
            EnvringError: there are some already, batches that were handed out use them, or
                observations have no fixed size.
            SegmentMemoryError: there is no memory for so many.
        """
        if batcher.layout.has_dynamic:
            raise EnvringError(
                "Observations of this space have no fixed size, so they cannot be kept in slots. "
                "Use `step`, and keep what it returns."
            )
        segment, core = batcher.segment, batcher.segment.core
        if segment.time_slots != (0, 0):
            raise EnvringError("There is a rollout of these envs already. Use that one.")
        self.count = count
        self._pool, self._segment, self._last = batcher.slots, segment, batcher.last
        self.first = batcher.slots.reserve(count)
        if self.first < 0:
            raise EnvringError(
                f"There are no {count} free slots. Ask for them, with slots={count}, when the "
                "vector env is made, and call `rollout` before the first step."
            )
        if not all(segment.back_slot(self.first + at) for at in range(count)):
            self.give_back()
            raise SegmentMemoryError(
                f"There is no shared memory for {count} batches of observations. Take fewer steps "
                "in a rollout, or raise the memory limit of this container."
            )
        segment.set_time_slots(self.first, count)
        leaves, self.rewards, self.terminations, self.truncations = segment.arrays_over_time()
        self.observations = batcher.layout.build(leaves)
        self.address = core.address + core.off_slots + self.first * core.slot_bytes
        self.nbytes = count * core.slot_bytes

    def give_back(self) -> None:
        """Has them be slots as all others again. Before anything is stored in them."""
        self._segment.set_time_slots(0, 0)
        self._pool.unreserve(self.count)

    def go_round(self) -> None:
        """The last observations became the first ones."""
        if self._last is not None:
            for each in (self.terminations, self.truncations):
                each[0] = each[-1]
            self._last.handed_out(self.first)
