# SPDX-License-Identifier: MIT
"""What was handed out last: what is known of envs whose worker died."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envring.errors import EnvringError
from envring.pool.protocol import Pool
from envring.transport.segment import SegmentMemoryError

if TYPE_CHECKING:
    from envring.batch.batcher import Batcher

_BY_ENV = -2  # in the place of the last batch's slot: `slot_of` has it


class LastBatch:
    """Reads the batch that a batcher handed out last, or the rows of envs that were received.

    They stay as they were while the next ones are stored: in slots that are not written until those
    are handed out.

    Attributes:
        slot_of: by env, where its last row is; holds while envs are sent and received.
    """

    def __init__(self, batcher: Batcher) -> None:
        """Has the batcher's slots keep their last batch. Before any is handed out.

        Raises:
            SegmentMemoryError: there is no memory for that.
        """
        self._batcher: Batcher = weakref.proxy(batcher)  # which its pool must not keep alive
        self.slot_of: NDArray[np.int64] = np.full(batcher.num_envs, -1)
        try:
            batcher.slots.keep_last()
        except MemoryError as error:
            raise SegmentMemoryError(str(error)) from None

    def rows(self, first: int, end: int) -> list[tuple[Any, bool]]:
        """(observation, whether its episode had ended) of a run of envs; [] before any batch."""
        batcher = self._batcher
        if batcher.slots.last == _BY_ENV:
            slots = batcher.arrivals().last_slots(first, end)
        else:
            slots = [batcher.slots.last] * (end - first)
        if min(slots) < 0:
            return []
        rows = []
        for env_id, slot in enumerate(slots, first):
            _, _, terminations, truncations = batcher.segment.slot_arrays(slot)
            ended = bool(terminations[env_id] or truncations[env_id])
            rows.append((batcher.observation_in(slot, env_id), ended))
        return rows

    def handed_out(self, slot: int) -> None:
        """A batch was handed out where it is, in a slot that stays until the next one is."""
        self._batcher.slots.last = slot

    # -- of envs that are sent and received ---------------------------------------------------

    def by_env(self) -> NDArray[np.int64]:
        """`slot_of`, which holds from now on; the next batch of all envs takes the long way."""
        slots = self._batcher.slots
        if slots.last != _BY_ENV:
            self._batcher.block_path()
            self.slot_of[:] = slots.last
            slots.last = _BY_ENV
        return self.slot_of

    def in_one(self, path: Any) -> None:
        """Has all last rows in one slot again, before a batch of all envs, and opens its path."""
        slots, segment = self._batcher.slots, self._batcher.segment
        if slots.last != _BY_ENV:
            return
        if path is not None:
            path.block(False)
        if self.slot_of.min() < 0:
            slots.last = -1
            return
        slots.last = last = slots.spare - slots.copied
        to = segment.slot_arrays(last)
        for slot in set(self.slot_of.tolist()) - {last}:
            rows = self.slot_of == slot
            leaves, *outcomes = segment.slot_arrays(slot)
            for target, source in zip([*to[0], *to[1:]], [*leaves, *outcomes], strict=True):
                target[rows] = source[rows]


def refuse_restarts(pool: Pool, what: str) -> None:
    """Refuses what does not know of the last batch, where workers are started again."""
    if pool.restarts is not None:
        raise EnvringError(
            f"Restarts cannot be combined with {what} yet. Leave them out, or use `step`."
        )
