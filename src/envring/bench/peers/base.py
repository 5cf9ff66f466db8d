# SPDX-License-Identifier: MIT
"""What a peer is: how it is described, built, stepped and counted."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import gymnasium
from gymnasium.vector.utils import batch_space, iterate

from envring.bench.workloads import Workload

SEED = 20240
ACTION_BATCHES = 64
JOIN_SECONDS = 5.0  # in which processes that were told to end should have ended


class Peer(Protocol):
    """A constructed and reset peer.

    Attributes:
        num_envs: How many env steps a batch has.
        construct_seconds: How long its construction took, without imports and the first reset.
    """

    num_envs: int
    construct_seconds: float

    def advance(self, batches: int) -> None:
        """Step every env `batches` times."""

    def take_resets(self) -> int:
        """How many of the steps since the last call were resets."""

    def close(self) -> None:
        """Close the environments."""


Build = Callable[[Workload, int, Mapping[str, Any]], Peer]
Refusal = Callable[[Workload, int], "str | None"]


def refuses_nothing(workload: Workload, num_envs: int) -> str | None:
    """No reason: any workload with any number of envs is measured."""
    return None


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One way of stepping envs that can be measured.

    Attributes:
        name: Its name on the command line and in JSON.
        title: Its name in tables and pictures.
        where: Where its envs are stepped: in a bare Python loop, in this process, in worker
            processes, or in C++ threads without any Python env.
        package: The import name of what it needs; None if that is always installed.
        requirement: The arguments of `pip install` for the package.
        preset: Keyword arguments that select this mode of the package.
        takes_workers: Whether it accepts the option `num_workers`.
        note: A note on its figures, or an empty string.
        module: The module to import; None: the package itself.
        build: Constructs and resets it; imports what it needs of the loaded package.
        refuses: Tells why a workload with a number of envs is not measured, or None; imports
            nothing.
    """

    name: str
    title: str
    where: Literal["loop", "process", "workers", "native"]
    package: str | None = None
    requirement: str = ""
    preset: Mapping[str, Any] = field(default_factory=dict)
    takes_workers: bool = False
    note: str = ""
    module: str | None = None
    build: Build
    refuses: Refusal = refuses_nothing

    @property
    def distribution(self) -> str:
        """What pip calls the package whose version matters."""
        if self.package is None:
            return self.requirement or "envring"
        return self.package.replace("_", "-")

    def load(self) -> None:
        """Import the package, so that no later measurement includes it.

        Raises:
            ImportError: if it is not installed, or something that it needs is not.
        """
        if self.package is not None:
            # PufferLib links its resources into the directory in which it is imported.
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                importlib.import_module(self.module or self.package)


def draw_actions(space: gymnasium.Space[Any], num_envs: int) -> list[Any]:
    """Random actions for `ACTION_BATCHES` batches, the same for every peer."""
    batched = batch_space(space, num_envs)
    batched.seed(SEED)
    return [batched.sample() for _ in range(ACTION_BATCHES)]


def draw_rows(space: gymnasium.Space[Any], num_envs: int) -> list[Sequence[Any]]:
    """What `draw_actions` gives, as a list of each env's action for each batch."""
    batched = batch_space(space, num_envs)
    return [list(iterate(batched, batch)) for batch in draw_actions(space, num_envs)]


def count_resets(ends: Sequence[tuple[bytes, bytes]], pending: int = 0) -> tuple[int, int]:
    """How many of the steps in consecutive batches were resets in next-step autoreset.

    An env whose episode ended in one batch spends the following batch on its reset.

    Args:
        ends: For each batch the bytes of `terminated` and of `truncated`, one byte an env.
        pending: How many episodes ended in the batch just before these.

    Returns:
        The number of reset steps, and how many episodes ended in the last batch (the next
        `pending`).
    """
    resets = 0
    for terminated, truncated in ends:
        resets += pending
        either = int.from_bytes(terminated, "big") | int.from_bytes(truncated, "big")
        pending = either.bit_count()
    return resets, pending


class VectorPeer:
    """Anything that steps like a `gymnasium.vector.VectorEnv` in its default next-step autoreset.

    Args:
        construct: Builds the vector environment; only this is timed as construction.
        workload: What it steps; tells whether episodes end at all.
        num_envs: How many envs.
    """

    def __init__(self, construct: Callable[[], Any], workload: Workload, num_envs: int) -> None:
        self.num_envs = num_envs
        start = time.perf_counter()
        self.envs = construct()
        self.construct_seconds = time.perf_counter() - start
        self._actions = itertools.cycle(draw_actions(self.envs.single_action_space, num_envs))
        self._endless = workload.endless
        self._ends: list[tuple[bytes, bytes]] = []
        self._pending = 0
        self._reset()

    def _reset(self) -> None:
        self.envs.reset(seed=SEED)

    def advance(self, batches: int) -> None:
        """Step every env `batches` times, holding the latest arrays as a caller would."""
        step = self.envs.step
        if self._endless:
            for action in itertools.islice(self._actions, batches):
                _obs, _rewards, _terminated, _truncated, _infos = step(action)
            return
        # Resets are counted after the timed part; until then the flags are kept, 0.1 us a batch.
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
