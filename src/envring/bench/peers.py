# SPDX-License-Identifier: MIT
"""The contestants: envring, gymnasium's vector environments, and a bare Python loop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import gymnasium
from gymnasium.vector.utils import batch_space, iterate

from envring.bench.stats import count_resets
from envring.bench.workloads import Workload

SEED = 20240
ACTION_BATCHES = 64
TITLES = {
    "envring": "RingVectorEnv",
    "async": "AsyncVectorEnv",
    "sync": "SyncVectorEnv",
    "bare": "Python loop",
}


class Peer(Protocol):
    """A constructed and reset contestant."""

    num_envs: int
    construct_seconds: float

    def advance(self, batches: int) -> None:
        """Step every env ``batches`` times."""

    def take_resets(self) -> int:
        """How many of the steps since the last call were resets."""

    def close(self) -> None:
        """Close the environments."""


def draw_actions(space: gymnasium.Space[Any], num_envs: int) -> list[Any]:
    """Random actions for ``ACTION_BATCHES`` batches, the same for every peer."""
    batched = batch_space(space, num_envs)
    batched.seed(SEED)
    return [batched.sample() for _ in range(ACTION_BATCHES)]


class VectorPeer:
    """A ``gymnasium.vector.VectorEnv`` in its default next-step autoreset."""

    def __init__(
        self,
        build: Callable[..., Any],
        workload: Workload,
        num_envs: int,
        options: Mapping[str, Any],
    ) -> None:
        self.num_envs = num_envs
        make = [workload.make] * num_envs
        start = time.perf_counter()
        self.envs = build(make, **options)
        self.construct_seconds = time.perf_counter() - start
        self._actions = itertools.cycle(draw_actions(self.envs.single_action_space, num_envs))
        self._endless = workload.endless
        self._ends: list[tuple[bytes, bytes]] = []
        self._pending = 0
        self.envs.reset(seed=SEED)

    def advance(self, batches: int) -> None:
        """Step every env ``batches`` times, holding the latest arrays as a caller would."""
        step = self.envs.step
        if self._endless:
            for action in itertools.islice(self._actions, batches):
                _obs, _rewards, _terminated, _truncated, _infos = step(action)
            return
        # Counting is put off until after the timed part; only the flags are kept, 0.1 us a batch.
        keep = self._ends.append
        for action in itertools.islice(self._actions, batches):
            _obs, _rewards, terminated, truncated, _infos = step(action)
            keep((terminated.tobytes(), truncated.tobytes()))

    def take_resets(self) -> int:
        """How many of the steps since the last call were resets."""
        resets, self._pending = count_resets(self._ends, self._pending)
        self._ends.clear()
        return resets

    def close(self) -> None:
        """Close the vector environment."""
        self.envs.close()


class BarePeer:
    """A Python loop over the same envs; a reset takes its time and is no step."""

    def __init__(self, workload: Workload, num_envs: int) -> None:
        self.num_envs = num_envs
        start = time.perf_counter()
        self._envs = [workload.make() for _ in range(num_envs)]
        self.construct_seconds = time.perf_counter() - start
        space = self._envs[0].action_space
        rows: list[Sequence[Any]] = [
            list(iterate(batch_space(space, num_envs), batch))
            for batch in draw_actions(space, num_envs)
        ]
        self._actions: Iterator[Sequence[Any]] = itertools.cycle(rows)
        self._steps = [env.step for env in self._envs]
        self._resets = [env.reset for env in self._envs]
        for index, env in enumerate(self._envs):
            env.reset(seed=SEED + index)

    def advance(self, batches: int) -> None:
        """Step every env ``batches`` times."""
        steps, resets = self._steps, self._resets
        for actions in itertools.islice(self._actions, batches):
            for step, reset, action in zip(steps, resets, actions, strict=False):
                _obs, _reward, terminated, truncated, _info = step(action)
                if terminated or truncated:
                    reset()

    def take_resets(self) -> int:
        """0: this loop never spends a step on a reset."""
        return 0

    def close(self) -> None:
        """Close every env."""
        for env in self._envs:
            env.close()


def build(name: str, workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """Construct and reset the peer called ``name``; imports are no part of its construction time.

    Raises:
        ValueError: if there is no such peer.
    """
    if name == "bare":
        return BarePeer(workload, num_envs)
    if name == "envring":
        from envring import RingVectorEnv

        return VectorPeer(RingVectorEnv, workload, num_envs, options)
    if name == "async":
        return VectorPeer(gymnasium.vector.AsyncVectorEnv, workload, num_envs, options)
    if name == "sync":
        return VectorPeer(gymnasium.vector.SyncVectorEnv, workload, num_envs, options)
    raise ValueError(f"no peer {name!r}; use one of {', '.join(TITLES)}")


def measure_slice(peer: Peer, seconds: float) -> dict[str, float]:
    """Step ``peer`` for about ``seconds`` and count what it did.

    The first tenth goes untimed: it wakes what slept and tells how often to look at the clock.

    Returns:
        ``seconds`` of wall time, ``batches``, ``resets`` and ``steps`` (env steps without resets).
    """
    clock = time.perf_counter
    warm, start = 0, clock()
    while warm < 2 or clock() - start < seconds / 10:
        peer.advance(1)
        warm += 1
    per_batch = (clock() - start) / warm
    chunk = max(1, int(min(seconds / 50, 0.005) / per_batch))
    peer.take_resets()
    batches, start = 0, clock()
    while True:
        peer.advance(chunk)
        batches += chunk
        elapsed = clock() - start
        if elapsed >= seconds:
            break
    resets = peer.take_resets()
    return {
        "seconds": elapsed,
        "batches": batches,
        "resets": resets,
        "steps": batches * peer.num_envs - resets,
    }
