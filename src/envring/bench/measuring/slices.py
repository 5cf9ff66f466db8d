# SPDX-License-Identifier: MIT
"""One slice of one peer, measured in the peer's own process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from envring.bench.measuring import machine
from envring.bench.measuring.samples import Latency
from envring.bench.peers.base import Peer

# The least time between two clock readings, which cost about 0.3 us each.
CHUNK_SECONDS = 100e-6
Advance = Callable[[int], None]


def thinking(advance: Advance, seconds: float) -> Advance:
    """Make a caller that computes for `seconds` after each batch, as a policy would.

    It spends CPU time, not wall time: a process that takes the processor away from the caller, such
    as a spinning worker, delays it as it would delay a policy.
    """
    clock = time.thread_time

    def advance_and_think(batches: int) -> None:
        for _ in range(batches):
            advance(1)
            until = clock() + seconds
            while clock() < until:
                pass

    return advance_and_think


def measure_slice(peer: Peer, seconds: float, think: float = 0.0) -> dict[str, Any]:
    """Step `peer` for about `seconds` and count what it did and what it used.

    The first tenth is not timed: it wakes sleeping processes and tells how often to read the clock,
    which is after each batch or, if batches are shorter than `CHUNK_SECONDS`, after as many as fill
    that time. Reading the clock then takes less than half a per cent of the time, for any peer.
    Latencies are the times between two readings: of single batches, or means over a few. A peer
    whose `advance` is costly to call has an attribute `chunk_seconds`; it has no latencies.

    Args:
        peer: What to step.
        seconds: How long; at least one batch is measured, however long it takes.
        think: Seconds for which the caller computes after each batch.

    Returns:
        `seconds` of wall time, `batches`, `resets`, `steps` (env steps without resets),
        `cpu` seconds and `voluntary` and `involuntary` context switches of this process and
        its descendants, and `latency` (the fields of `Latency`, or None).
    """
    clock = time.perf_counter
    advance = thinking(peer.advance, think) if think > 0 else peer.advance
    coarse: float | None = getattr(peer, "chunk_seconds", None)
    at_once, warm, start = 1, 0, clock()
    while (elapsed := clock() - start) < seconds / 10 or (warm < 2 and elapsed < seconds / 2):
        begun = clock()
        advance(at_once)
        warm += 1
        if coarse:  # the cost of a call is not that of a batch
            per_batch = (clock() - begun) / at_once
            at_once *= 2 if 2 * at_once * per_batch < coarse else 1
    if not coarse:
        per_batch = elapsed / warm
    chunk = max(1, round((coarse or CHUNK_SECONDS) / per_batch))
    peer.take_resets()
    family = machine.family(os.getpid())
    moments: list[float] = []
    look = moments.append
    switches = machine.context_switches(family)
    cpu = machine.cpu_seconds(family)
    start = clock()
    end = start + seconds
    while True:
        advance(chunk)
        now = clock()
        look(now)
        if now >= end:
            break
    cpu = machine.cpu_seconds(family) - cpu
    after = machine.context_switches(family)
    batches = chunk * len(moments)
    resets = peer.take_resets()
    return {
        "seconds": round(now - start, 7),
        "batches": batches,
        "resets": resets,
        "steps": batches * peer.num_envs - resets,
        "cpu": round(cpu, 7),
        "voluntary": after[0] - switches[0] if after and switches else None,
        "involuntary": after[1] - switches[1] if after and switches else None,
        "latency": None if coarse else asdict(latency(start, moments, chunk)),
    }


def latency(start: float, moments: Sequence[float], chunk: int) -> Latency:
    """The quantiles of a batch's seconds, from clock readings after every `chunk` batches."""
    each = np.diff(np.asarray(moments), prepend=start) / chunk
    quantiles = np.quantile(each, (0.5, 0.9, 0.99, 1.0))
    p50, p90, p99, longest = (round(float(value), 9) for value in quantiles)
    return Latency(p50, p90, p99, longest, chunk)


def measure_idle(peer: Peer, after: float, until: float) -> dict[str, float]:
    """CPU time of this process's children from `after` to `until` seconds past a step."""
    children = machine.family(os.getpid()) - {os.getpid()}
    peer.advance(50)
    start = time.perf_counter()
    time.sleep(max(0.0, start + after - time.perf_counter()))
    used = machine.cpu_seconds(children)
    begin = time.perf_counter()
    time.sleep(max(0.0, start + until - time.perf_counter()))
    used = machine.cpu_seconds(children) - used
    return {"cpu_seconds": used, "seconds": time.perf_counter() - begin, "children": len(children)}
