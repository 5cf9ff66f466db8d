# SPDX-License-Identifier: MIT
"""How large the parts of a segment are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from envring.batch.actions import slab_bytes
from envring.batch.layout import ALIGNMENT, Layout
from envring.pool.protocol import Pool
from envring.transport.segment import REPLY_RING_BYTES, SegmentSpec, command_ring_bytes

# Arrays up to this size are copied out: that costs no more than handing out a view.
LEASE_BYTES = 1 << 14
_POOL_BYTES = 1 << 28  # slots are made up to about so many bytes
_MAX_SLOTS = 1024
_INFO_BYTES_PER_ENV = 1 << 16


def _default_slots(slot_bytes: int) -> int:
    return max(4, min(_MAX_SLOTS, _POOL_BYTES // slot_bytes))


def lay_out(pool: Pool, obs: Layout, action: Layout, slots: int | None, copy: bool) -> SegmentSpec:
    """What the segment of a pool's envs has room for.

    Args:
        pool: steps the envs.
        obs: of an observation.
        action: of an action.
        slots: as Batcher has it.
        copy: whether arrays that were handed out never change.
    """
    n = pool.num_envs
    obs_offsets, at = obs.offsets(n)
    outcomes: list[tuple[int, tuple[int, ...], str]] = []
    for dtype in ("<f8", "|b1", "|b1"):
        outcomes.append((at, (n,), np.dtype(dtype).str))
        at += -(-n * np.dtype(dtype).itemsize // ALIGNMENT) * ALIGNMENT
    final_offsets, final_bytes = obs.offsets(n)

    def located(offsets: Sequence[int]) -> list[tuple[int, tuple[int, ...] | None, str]]:
        return [
            (offset, (n, *leaf.shape) if leaf.dtype is not None else None, _dtype_str(leaf))
            for offset, leaf in zip(offsets, obs.leaves, strict=True)
        ]

    leases = any(leaf.nbytes(n) > LEASE_BYTES for leaf in obs.leaves)
    wanted = _default_slots(at) if slots is None else slots
    config = {
        "num_envs": n,
        "num_workers": pool.num_rings,
        "num_slots": (wanted + 1 if slots is not None or (leases and copy) else 1)
        + (pool.restarts is not None),
        "command_ring_bytes": command_ring_bytes(pool.spans),
        "reply_ring_bytes": REPLY_RING_BYTES,
        "action_bytes": slab_bytes(action, n),
        "final_bytes": max(final_bytes, ALIGNMENT),
        "slot_bytes": at,
        "info_bytes": n * _INFO_BYTES_PER_ENV + (1 << 20),
    }
    return SegmentSpec(config, located(obs_offsets), outcomes, located(final_offsets))


def _dtype_str(leaf: Any) -> str:
    return "" if leaf.dtype is None else leaf.dtype.str
