# SPDX-License-Identifier: MIT
"""What was found: plain data, no processes and no clocks here."""

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

QUIET = 0.15  # processors busy with other things, up to which a slice counts as undisturbed


@dataclass(frozen=True)
class Latency:
    """How long the steps of the whole vector environment took, in seconds.

    Attributes:
        p50: The median.
        p90: Nine of ten took no longer.
        p99: 99 of 100 took no longer.
        longest: The longest one.
        batches: Steps per reading of the clock: more than 1 where a step is so short that reading
            the clock for each would count; figures are then means over so many.
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
        steps: Env steps, resets not among them.
        resets: Env steps that were spent on resets.
        batches: Steps of the whole vector environment.
        seconds: Wall time.
        outside: Processors that were busy with anything else meanwhile; None where unknown.
        kept: False when the slice was disturbed and a repetition replaced it.
        cpu: CPU seconds that all processes of the peer used meanwhile; None where unknown.
        voluntary: Context switches of all its threads that gave way themselves; None where unknown.
        involuntary: Context switches that the kernel forced; None where unknown.
        latency: How long its batches took; None where not measured.
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
        """Env steps in a second."""
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
        """Everything that is known, for a JSON file."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return known | {"rate": round(self.rate, 1)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Sample:
        """What `as_json` wrote."""
        found = {key: value for key, value in fields.items() if key != "rate"}
        if found.get("latency") is not None:
            found["latency"] = Latency(**found["latency"])
        return cls(**found)


@dataclass(frozen=True)
class Footprint:
    """What a contestant costs apart from its steps.

    Attributes:
        construct_seconds: To construct it, imports not among it.
        close_seconds: To close it; None when it did not come to that.
        memory_bytes: Of all its processes, each shared page once (PSS); None where unknown.
        processes: How many processes it has, the caller's among them.
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
        footprints: Start, end and memory, by label.
        refusals: Why a peer was not measured in this cell though it is installed, by label.
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
        """Env steps in a second of `peer`, by round."""
        return {each.round: each.rate for each in self.of(peer)}

    def rate(self, peer: str) -> Spread | None:
        """Median rate of `peer` over the rounds."""
        return spread(self.rates(peer).values())

    def interval(self, peer: str) -> Interval | None:
        """Median rate of `peer` with its 95 % interval, the machine's own ups and downs in it."""
        rates = self.rates(peer)
        return interval([rates[number] for number in sorted(rates)], max(DRIFT, self._unseen()))

    def ratios(self, peer: str, base: str) -> list[float]:
        """How many times as fast as `base` `peer` was, in each round that both have."""
        return paired_ratios(self.rates(peer), self.rates(base))

    def ratio(self, peer: str, base: str) -> Spread | None:
        """How many times as fast as `base` `peer` was, each round compared in itself."""
        return spread(self.ratios(peer, base))

    def ratio_interval(self, peer: str, base: str) -> Interval | None:
        """What `ratio` gives, with its 95 % interval."""
        return interval(self.ratios(peer, base), self._unseen())

    def ceiling_fractions(self, peer: str) -> list[float]:
        """The fraction of the ceiling that `peer` reached, in each round that both have."""
        return paired_ratios(self.rates(peer), self.ceilings())

    def ceilings(self) -> dict[int, float]:
        """Env steps in a second that nobody can pass who steps as asked, by round.

        That is the rate of the bare loop times the cores. Where the caller thinks between steps,
        only the rest of the loop's time is divided by the cores: nobody else can think for it.
        """
        found = {}
        for each in self.of(BARE):
            batch = each.seconds / each.batches
            think = min(self.cell.think, batch)
            found[each.round] = each.rate * batch / (think + (batch - think) / self.cores)
        return found

    def of_ceiling(self, peer: str) -> Spread | None:
        """The fraction of the ceiling that `peer` reached, each round compared in itself."""
        return spread(self.ceiling_fractions(peer))

    def of_ceiling_interval(self, peer: str) -> Interval | None:
        """What `of_ceiling` gives, with its 95 % interval."""
        return interval(self.ceiling_fractions(peer), self._unseen())

    def of_cores(self, peer: str) -> Spread | None:
        """The fraction of what bare loops on all cores at once reached, where they were run."""
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
        """Median over the rounds of each quantile of a batch's seconds, by its name."""
        found = [each.latency for each in self.of(peer) if each.latency is not None]
        spreads = {
            name: spread(getattr(each, name) for each in found)
            for name in ("p50", "p90", "p99", "longest")
        }
        return {name: each for name, each in spreads.items() if each is not None} or None

    def outside(self) -> Spread | None:
        """Processors busy with other things during the slices that count."""
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
        """What `as_json` wrote."""
        cell = Cell(
            fields["workload"],
            fields["num_envs"],
            tuple(Contestant(**each) for each in fields["contestants"]),
            fields["num_workers"],
            fields["think"],
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
