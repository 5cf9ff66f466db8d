# SPDX-License-Identifier: MIT
"""What workers in the place of others are told of the episodes that are lost."""

from __future__ import annotations

from typing import Any, Protocol

from envring.pool.seeds import Seeds


class Last(Protocol):
    """The batch that was handed out last."""

    def rows(self, first: int, end: int) -> list[tuple[Any, bool]]:
        """(observation, whether its episode had ended) of a run of envs; [] before any batch."""


def what_was_lost(
    last: Last | None, first: int, end: int, resets: bool, seeds: Seeds, less: int = 0
) -> dict[str, Any]:
    """What a successor is told of a run of envs; see `envring_worker/lost.py`.

    Args:
        last: where last observations are.
        first: the first env.
        end: the one after the last.
        resets: whether an env whose episode has ended is reset by its next step.
        seeds: those that envs were given.
        less: by how much the ids of these envs are smaller there.
    """
    rows = [] if last is None else last.rows(first, end)
    ended = [env_id for env_id, (_, ended) in enumerate(rows, first) if ended]
    return {
        "obs": {env_id - less: obs for env_id, (obs, _) in enumerate(rows, first)},
        "pending": [env_id - less for env_id in ended] if resets else [],
        "seeds": {env_id - less: seed for env_id, seed in seeds.fresh(first, end).items()},
        "ends": {},
    }
