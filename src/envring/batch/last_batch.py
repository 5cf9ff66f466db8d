# SPDX-License-Identifier: MIT
"""The batch that was handed out last: what is known of envs whose worker died."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envring.errors import EnvringError
from envring.pool.protocol import Pool
from envring.transport.segment import SegmentMemoryError

if TYPE_CHECKING:
    from envring.batch.batcher import Batcher


class LastBatch:
    """Reads the batch that a batcher handed out last.

    It stays as it was while the next one is stored: its slot is not written until that is handed
    out.
    """

    def __init__(self, batcher: Batcher) -> None:
        """Has the batcher's slots keep their last batch. Before any is handed out.

        Raises:
            SegmentMemoryError: there is no memory for that.
        """
        self._batcher = batcher
        try:
            batcher.slots.keep_last()
        except MemoryError as error:
            raise SegmentMemoryError(str(error)) from None

    def rows(self, first: int, end: int) -> list[tuple[Any, bool]]:
        """(observation, whether its episode had ended) of a run of envs; [] before any batch."""
        slot = self._batcher.slots.last
        if slot < 0:
            return []
        _, _, terminations, truncations = self._batcher.segment.slot_arrays(slot)
        ended = (terminations[first:end] | truncations[first:end]).tolist()
        observations = [self._batcher.observation_in(slot, env_id) for env_id in range(first, end)]
        return list(zip(observations, ended, strict=True))


def refuse_restarts(pool: Pool, what: str) -> None:
    """Refuses what does not know of the last batch, where workers are started again."""
    if pool.restarts is not None:
        raise EnvringError(
            f"on_worker_death='restart' cannot be combined with {what} yet. Leave it out, or use "
            "`step`."
        )
