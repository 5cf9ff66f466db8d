# SPDX-License-Identifier: MIT
"""What to measure, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = "envring"  # our own peer; the names of its modes begin with it
BARE = "bare"  # the peer whose rate times the cores is the ceiling
REMOTE = "remote"  # label of our own peer with envs on hosts
BARE_ALL = "bare-all"  # bare loops on all cores at once: what the cores reach together


@dataclass(frozen=True)
class Contestant:
    """One entry of a cell: a peer with its options.

    Attributes:
        label: Its name in samples and tables, unique within a cell.
        peer: The name of an adapter in `envring.bench.peers`.
        options: Keyword arguments of the peer's constructor; they override the adapter's preset.
        num_envs: How many envs, if not the cell's number.
    """

    label: str
    peer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    num_envs: int | None = None


@dataclass(frozen=True)
class Cell:
    """One workload with one number of envs, measured for several contestants.

    Attributes:
        workload: The name of the workload.
        num_envs: How many envs each contestant has.
        contestants: In the order in which they take their turns.
        num_workers: Worker processes of the peers that accept a number; None: their default.
        think: Seconds for which the caller computes after each step, as a policy would.
        busy: How many other programs compute meanwhile.
    """

    workload: str
    num_envs: int
    contestants: tuple[Contestant, ...]
    num_workers: int | None = None
    think: float = 0.0
    busy: int = 0

    def __post_init__(self) -> None:
        if len(set(self.peers)) < len(self.contestants):
            raise ValueError(f"two contestants have the same label: {', '.join(self.peers)}")

    @classmethod
    def of(
        cls,
        workload: str,
        num_envs: int,
        peers: Iterable[str],
        options: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        num_workers: int | None = None,
        think: float = 0.0,
        busy: int = 0,
    ) -> Cell:
        """Make a cell of peers that are labelled with their own names.

        Args:
            workload: The name of the workload.
            num_envs: How many envs each peer has.
            peers: Names of adapters.
            options: Per peer the keyword arguments of its constructor.
            num_workers: As in the class.
            think: As in the class.
            busy: As in the class.
        """
        options = options or {}
        contestants = tuple(Contestant(peer, peer, options.get(peer, {})) for peer in peers)
        return cls(workload, num_envs, contestants, num_workers, think, busy)

    @property
    def peers(self) -> tuple[str, ...]:
        """The contestants' labels, in the order of their turns."""
        return tuple(each.label for each in self.contestants)

    @property
    def key(self) -> tuple[str, int, int | None, float, int]:
        """What identifies the cell, in this run and in others."""
        return self.workload, self.num_envs, self.num_workers, self.think, self.busy
