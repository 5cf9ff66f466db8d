# SPDX-License-Identifier: MIT
"""From a pool whose envs are built to a batcher that is ready for the first reset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from envring.batch.batcher import Batcher
from envring.batch.spaces import VectorSpaces, resolve, translate
from envring.pool.protocol import Pool


def open_batcher(
    pool: Pool,
    observation_mode: Any,
    name: str,
    copy: bool,
    slots: int | None,
    add_info: Callable[[dict[str, Any], dict[str, Any], int], dict[str, Any]] | None,
) -> tuple[Batcher, VectorSpaces, Mapping[str, Any]]:
    """Batches the envs of a pool that was just opened. Closes the pool if that fails.

    Args:
        pool: the pool.
        observation_mode: as RingVectorEnv has it.
        name: of the vector env's class, for messages.
        copy: whether arrays that were handed out never change.
        slots: how many batches may be handed out in place at a time; see Batcher.
        add_info: an overridden `_add_info`, or None.

    Returns:
        The batcher, the spaces, and the description of the first env: `metadata`, `render_mode`,
        `spec`.

    Raises:
        SpaceMismatchError: the envs' spaces cannot be batched.
        SpaceDataError: a worker described its spaces in a way that cannot be read.
        SegmentMemoryError: there is not enough shared memory.
        WorkerDied: a worker ended.
    """
    try:
        descriptions = translate(pool.descriptions)
        spaces = resolve(descriptions, observation_mode, name)
        return Batcher(pool, spaces, copy, slots, add_info), spaces, descriptions[0]
    except BaseException:
        pool.abandon()
        raise
