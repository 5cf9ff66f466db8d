# SPDX-License-Identifier: MIT
"""What most groups compare: RingVectorEnv, AsyncVectorEnv and a loop over the bare envs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium

import envring
from envring.bench import peers
from envring.bench.workloads import Workload
from support.interleaved import Side, Take, advancing, repeated

VECTOR_ENVS: Mapping[str, Callable[..., gymnasium.vector.VectorEnv[Any, Any, Any]]] = {
    "envring": envring.RingVectorEnv,
    "async": gymnasium.vector.AsyncVectorEnv,
}
STEPPERS = (*VECTOR_ENVS, "bare")


def stepping(workload: Workload, num_envs: int) -> dict[str, Side]:
    """Steps of whole batches; one operation is an env step, and a reset does not count."""

    def side(name: str) -> Side:
        @contextmanager
        def opened() -> Iterator[Take]:
            peer = peers.build(name, workload, num_envs, {})

            def count(batches: int) -> int:
                return batches * num_envs - peer.take_resets()

            try:
                yield advancing(peer.advance, peer.take_resets, count)
            finally:
                peer.close()

        return opened

    return {name: side(name) for name in STEPPERS}


def sending(
    make: Callable[[], gymnasium.Env[Any, Any]], num_envs: int, actions: Any
) -> dict[str, Side]:
    """Steps with one batch of actions, in the form given; one operation is a batch."""

    def side(name: str) -> Side:
        @contextmanager
        def opened() -> Iterator[Take]:
            envs = VECTOR_ENVS[name]([make] * num_envs)
            try:
                envs.reset(seed=1)
                yield repeated(lambda: envs.step(actions))
            finally:
                envs.close()

        return opened

    return {name: side(name) for name in VECTOR_ENVS}


def starting(make: Callable[[], gymnasium.Env[Any, Any]], num_envs: int) -> dict[str, Side]:
    """Only the construction."""
    return _once(make, num_envs, timed=0)


def closing(make: Callable[[], gymnasium.Env[Any, Any]], num_envs: int) -> dict[str, Side]:
    """Only the close of envs that were reset."""
    return _once(make, num_envs, timed=1)


def _once(
    make: Callable[[], gymnasium.Env[Any, Any]], num_envs: int, timed: int
) -> dict[str, Side]:
    def side(name: str) -> Side:
        @contextmanager
        def opened() -> Iterator[Take]:
            def take(seconds: float) -> float:
                clock = time.perf_counter
                start = clock()
                envs = VECTOR_ENVS[name]([make] * num_envs)
                built = clock() - start
                try:
                    envs.reset(seed=1)
                finally:
                    start = clock()
                    envs.close()
                return (built, clock() - start)[timed]

            yield take

        return opened

    return {name: side(name) for name in VECTOR_ENVS}
