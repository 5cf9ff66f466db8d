# SPDX-License-Identifier: MIT
"""The bare Python loop, whose rate times the usable cores is the ceiling: alone or on each core."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from gymnasium.vector.utils import CloudpickleWrapper

from envring.bench.peers.base import JOIN_SECONDS, SEED, Adapter, Peer, draw_rows
from envring.bench.workloads import Workload
from envring.cpus import usable_cpus

GRAINS = 32  # the loops divide the work into so many pieces


class BarePeer:
    """A Python loop over the same envs; a reset takes time but is not a step."""

    def __init__(self, make: Callable[[], Any], num_envs: int, seed: int = SEED) -> None:
        self.num_envs = num_envs
        start = time.perf_counter()
        self._envs = [make() for _ in range(num_envs)]
        self.construct_seconds = time.perf_counter() - start
        rows = draw_rows(self._envs[0].action_space, num_envs)
        self._actions: Iterator[Sequence[Any]] = itertools.cycle(rows)
        self._steps = [env.step for env in self._envs]
        self._resets = [env.reset for env in self._envs]
        for index, env in enumerate(self._envs):
            env.reset(seed=seed + index)

    def advance(self, batches: int) -> None:
        """Step every env `batches` times."""
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


class BareCoresPeer:
    """A bare loop on every usable core at the same time: what the cores reach together.

    Each loop is the one that is measured alone, with as many envs of its own; `num_envs` counts
    those of all loops. A loop that is ahead takes more of the batches, so that a core that is
    slower for a while does not slow the others.

    Attributes:
        chunk_seconds: How long an `advance` should last: its loops sleep in between.
    """

    chunk_seconds = 0.04  # at the end the loops wait for the last one: 1 % of a chunk of 0.01

    def __init__(self, make: Callable[[], Any], num_envs: int, loops: int) -> None:
        self.num_envs = num_envs * loops
        self._loops = loops
        self._left = multiprocessing.Value("q", 0)
        start = time.perf_counter()
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for index in range(loops):
            ours, theirs = multiprocessing.Pipe()
            process = multiprocessing.Process(
                target=_loop,
                args=(
                    CloudpickleWrapper(make),
                    num_envs,
                    SEED + index * num_envs,
                    theirs,
                    self._left,
                ),
                daemon=True,
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._wait()
        self.construct_seconds = time.perf_counter() - start

    def _wait(self) -> None:
        for pipe in self._pipes:
            try:
                pipe.recv()
            except EOFError:
                raise RuntimeError("a loop's process ended; its stderr says why") from None

    def advance(self, batches: int) -> None:
        """Step `batches` times `num_envs` envs, in all."""
        self._left.value = batches * self._loops
        for pipe in self._pipes:
            pipe.send(max(1, batches // GRAINS))
        self._wait()

    def take_resets(self) -> int:
        """0: these loops never spend a step on a reset."""
        return 0

    def close(self) -> None:
        """End the loops and wait for their processes."""
        for pipe in self._pipes:
            with contextlib.suppress(BrokenPipeError):
                pipe.send(None)
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            process.join(JOIN_SECONDS)
            pipe.close()


def _loop(make: Callable[[], Any], num_envs: int, seed: int, pipe: Connection, left: Any) -> None:
    """Whenever told to, take batches as long as there are any."""
    parent = os.getppid()
    peer = BarePeer(make, num_envs, seed)
    pipe.send(None)
    while True:
        # The other loops hold this pipe's far end too, so it stays open if the caller dies.
        while not pipe.poll(1.0):
            if os.getppid() != parent:
                return
        grain = pipe.recv()
        if grain is None:
            break
        while True:
            with left.get_lock():
                batches = min(grain, left.value)
                left.value -= batches
            if not batches:
                break
            peer.advance(batches)
        pipe.send(None)
    peer.close()


def build(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """One loop; it takes no options."""
    return BarePeer(workload.make, num_envs, **options)


def build_cores(workload: Workload, num_envs: int, options: Mapping[str, Any]) -> Peer:
    """A loop on each core; it takes no options."""
    return BareCoresPeer(workload.make, num_envs, usable_cpus(), **options)


ADAPTERS = (
    Adapter(name="bare", title="Python loop", where="loop", build=build),
    Adapter(name="bare-all", title="Python loops on all cores", where="loop", build=build_cores),
)
