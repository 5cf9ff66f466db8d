# SPDX-License-Identifier: MIT
"""What was measured, as plain data: no processes and no clocks here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from envring.bench.measuring.stats import (
    DRIFT,
    Interval,
    Spread,
    allowance,
    interval,
    paired_ratios,
    spread,
)
from envring.bench.plan.cells import BARE, BARE_ALL, Cell, Contestant

QUIET = 0.15  # busy processors of other programs, up to which a slice is undisturbed


@dataclass(frozen=True)
class Latency:
    """How long the steps of the whole vector environment took, in seconds.

    Attributes:
        p50: The median.
        p90: 90 % took no longer.
        p99: 99 % took no longer.
        longest: The longest one.
        batches: Steps per clock reading. More than 1 if reading the clock for each step would
            distort such short steps; the figures are then means over so many steps.
    """

    p50: float
    p90: float
    p99: float
    longest: float
    batches: int = 1


@dataclass(frozen=True)
class Sample:
    """What one contestant did in one slice.

    Attributes:
        peer: The contestant's label.
        round: The round, counted from 0.
        steps: Env steps, without resets.
        resets: Env steps that were spent on resets.
        batches: Steps of the whole vector environment.
        seconds: Wall time.
        outside: Processors that other programs kept busy meanwhile; None if unknown.
        kept: False when the slice was disturbed and a repetition replaced it.
        cpu: CPU seconds that all processes of the peer used meanwhile; None if unknown.
        voluntary: Voluntary context switches of all its threads; None if unknown.
        involuntary: Involuntary context switches of all its threads; None if unknown.
        latency: How long its batches took; None if not measured.
    """

    peer: str
    round: int
    steps: int
    resets: int
    batches: int
    seconds: float
    outside: float | None = None
    kept: bool = True
    cpu: float | None = None
    voluntary: int | None = None
    involuntary: int | None = None
    latency: Latency | None = None

    @property
    def rate(self) -> float:
        """Env steps per second."""
        return self.steps / self.seconds

    @property
    def cores(self) -> float | None:
        """Processors in use on average."""
        return None if self.cpu is None else self.cpu / self.seconds

    @property
    def switches(self) -> int | None:
        """Context switches of both kinds."""
        if self.voluntary is None or self.involuntary is None:
            return None
        return self.voluntary + self.involuntary

    def as_json(self) -> dict[str, Any]:
        """The known fields, for a JSON file."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return known | {"rate": round(self.rate, 1)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Sample:
        """Restore what `as_json` wrote."""
        found = {key: value for key, value in fields.items() if key != "rate"}
        if found.get("latency") is not None:
            found["latency"] = Latency(**found["latency"])
        return cls(**found)


@dataclass(frozen=True)
class Footprint:
    """What a contestant costs apart from its steps.

    Attributes:
        construct_seconds: Seconds to construct it, without imports.
        close_seconds: Seconds to close it; None if it was never closed.
        memory_bytes: Memory of all its processes, shared pages counted once (PSS); None if unknown.
        processes: How many processes it has, the caller's included.
    """

    construct_seconds: float
    close_seconds: float | None = None
    memory_bytes: int | None = None
    processes: int = 1


@dataclass
class CellResult:
    """Every sample of a cell, and what went wrong.

    Attributes:
        cell: What was measured.
        cores: Usable processors: see `ceilings`.
        samples: All slices in the order in which they were taken.
        failures: What went wrong, by label; a peer may have samples from before its failure.
        footprints: Times to start and close, and memory, by label.
        refusals: Why a peer was not measured in this cell, by label.
        breakdowns: Where the time of a step goes, by label, as `Breakdown.as_json` writes it.
    """

    cell: Cell
    cores: int
    samples: list[Sample] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    footprints: dict[str, Footprint] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    breakdowns: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, peer: str) -> list[Sample]:
        """The slices of `peer` that count, in the order of the rounds."""
        return [each for each in self.samples if each.peer == peer and each.kept]

    def rates(self, peer: str) -> dict[int, float]:
        """Env steps per second of `peer`, by round."""
        return {each.round: each.rate for each in self.of(peer)}

    def rate(self, peer: str) -> Spread | None:
        """Median rate of `peer` over the rounds."""
        return spread(self.rates(peer).values())

    def interval(self, peer: str) -> Interval | None:
        """Median rate of `peer` with its 95 % interval, which includes the machine's drift."""
        rates = self.rates(peer)
        return interval([rates[number] for number in sorted(rates)], max(DRIFT, self._unseen()))

    def ratios(self, peer: str, base: str) -> list[float]:
        """The rate of `peer` over that of `base`, in each round that both have."""
        return paired_ratios(self.rates(peer), self.rates(base))

    def ratio(self, peer: str, base: str) -> Spread | None:
        """The rate of `peer` over that of `base`, compared within rounds."""
        return spread(self.ratios(peer, base))

    def ratio_interval(self, peer: str, base: str) -> Interval | None:
        """As `ratio`, with its 95 % interval."""
        return interval(self.ratios(peer, base), self._unseen())

    def ceiling_fractions(self, peer: str) -> list[float]:
        """The fraction of the ceiling that `peer` reached, in each round that both have."""
        return paired_ratios(self.rates(peer), self.ceilings())

    def ceilings(self) -> dict[int, float]:
        """The most env steps per second that the cores allow, by round.

        This is the rate of the bare loop times the cores. If the caller computes between steps,
        only the rest of the loop's time is divided by the cores, since no other core can do that
        computing.
        """
        found = {}
        for each in self.of(BARE):
            batch = each.seconds / each.batches
            think = min(self.cell.think, batch)
            found[each.round] = each.rate * batch / (think + (batch - think) / self.cores)
        return found

    def of_ceiling(self, peer: str) -> Spread | None:
        """The fraction of the ceiling that `peer` reached, compared within rounds."""
        return spread(self.ceiling_fractions(peer))

    def of_ceiling_interval(self, peer: str) -> Interval | None:
        """As `of_ceiling`, with its 95 % interval."""
        return interval(self.ceiling_fractions(peer), self._unseen())

    def of_cores(self, peer: str) -> Spread | None:
        """The rate of `peer` over that of bare loops on all cores; None if they were not run."""
        return self.ratio(peer, BARE_ALL)

    def cores_used(self, peer: str) -> Spread | None:
        """Processors that `peer` kept busy."""
        return spread(each.cores for each in self.of(peer) if each.cores is not None)

    def switches(self, peer: str) -> Spread | None:
        """Context switches of `peer` per 1000 env steps."""
        return spread(
            1000 * each.switches / each.steps
            for each in self.of(peer)
            if each.switches is not None and each.steps
        )

    def latency(self, peer: str) -> dict[str, Spread] | None:
        """Median over the rounds of each quantile of the batches' seconds, by its name."""
        found = [each.latency for each in self.of(peer) if each.latency is not None]
        spreads = {
            name: spread(getattr(each, name) for each in found)
            for name in ("p50", "p90", "p99", "longest")
        }
        return {name: each for name, each in spreads.items() if each is not None} or None

    def outside(self) -> Spread | None:
        """Processors that other programs kept busy during the slices that count."""
        return spread(
            each.outside for each in self.samples if each.kept and each.outside is not None
        )

    def _unseen(self) -> float:
        outside = self.outside()
        return allowance(outside.median if outside else None, self.cores)

    def as_json(self) -> dict[str, Any]:
        """Everything, for a JSON file."""
        return {
            "workload": self.cell.workload,
            "num_envs": self.cell.num_envs,
            "num_workers": self.cell.num_workers,
            "think": self.cell.think,
            "busy": self.cell.busy,
            "contestants": [
                asdict(each) | {"options": dict(each.options)} for each in self.cell.contestants
            ],
            "cores": self.cores,
            "samples": [each.as_json() for each in self.samples],
            "failures": self.failures,
            "footprints": {label: asdict(each) for label, each in self.footprints.items()},
            "refusals": self.refusals,
            "breakdowns": self.breakdowns,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> CellResult:
        """Restore what `as_json` wrote."""
        cell = Cell(
            fields["workload"],
            fields["num_envs"],
            tuple(Contestant(**each) for each in fields["contestants"]),
            fields["num_workers"],
            fields["think"],
            fields.get("busy", 0),  # files that are older have none
        )
        return cls(
            cell,
            fields["cores"],
            samples=[Sample.from_json(each) for each in fields["samples"]],
            failures=dict(fields["failures"]),
            footprints={label: Footprint(**each) for label, each in fields["footprints"].items()},
            refusals=dict(fields["refusals"]),
            breakdowns=dict(fields["breakdowns"]),
        )
