# SPDX-License-Identifier: MIT
"""Lets other processes of the same user look at a pool's workers: `envring top` does."""

from __future__ import annotations

import logging
import os
from typing import Any

from envring.core import _core
from envring.pool.worker_pool import WorkerPool
from envring.transport.published import Publication

log = logging.getLogger("envring")

VARIABLE = "ENVRING_TOP"


def asked() -> bool:
    """Whether every pool is to be published."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def publish_if_asked(pool: Any, since: float, label: str = "") -> None:
    """`publish`, where the environment asks for it."""
    if asked():
        publish(pool, since, label)


def publish(pool: Any, since: float, label: str = "") -> None:
    """Publishes the workers of an attached pool until they end.

    If the system has no room for it, that is logged. Again: with another label, and other workers.

    Args:
        pool: the pool, or one of several pools.
        since: when it was attached, in seconds of time.monotonic().
        label: what to call it.
    """
    if isinstance(pool, WorkerPool):
        _publish(pool, since, label)
    for part in getattr(pool, "parts", ()):
        publish(part.pool, since, label)


def _publish(pool: WorkerPool, since: float, label: str) -> None:
    belongings = pool.belongings
    content = _content(pool, since, label)
    try:
        if belongings.published is None:
            belongings.published = Publication(content)
        else:
            belongings.published.rewrite(content)
    except OSError as error:
        log.warning("`envring top` will not show these envs: %s", error)


def _content(pool: WorkerPool, since: float, label: str) -> dict[str, Any]:
    segment = pool.segment
    assert segment is not None
    return {
        "abi": _core.ABI,
        "label": label,
        "since": since,
        "fd": segment.fd,
        "inode": os.fstat(segment.fd).st_ino,
        "workers": [
            {
                "pid": worker.pid,
                "env_ids": [worker.env_ids[0], worker.env_ids[-1] + 1],
                "at": None if w in pool.relays else segment.core.stats_offset(w),
                **({} if pool.restarts is None else pool.restarts.counts(w)),
            }
            for w, worker in enumerate(pool.workers)
        ],
    }
