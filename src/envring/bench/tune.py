# SPDX-License-Identifier: MIT
"""Which arguments of RingVectorEnv suit an env on this machine, within a time budget.

Candidates are measured against each other in turns, each in a fresh process, and the worse half of
them is dropped until two are left: first the numbers of workers, then spinning and pinning for the
best numbers. The last and longest part measures these two and the defaults anew, so that what is
said of them owes nothing to the luck by which they were chosen.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import gymnasium

from envring.bench import workloads
from envring.bench.cells import BARE, Cell, CellResult, Contestant
from envring.bench.runner import GRACE_SECONDS, run_cell
from envring.bench.stats import Interval, interval

SIZES = (8, 16, 32, 64, 128, 256)
GAIN = 1.05  # a larger batch has to bring so much more than a smaller one
PRICE = 1.02  # and each argument so much, to be worth writing down
SLEEPS = 0.8  # cores that a bare loop keeps busy, below which its envs sleep or wait
MOST_WORKERS = 256
MOST_SLEEPERS = 128  # the largest size that is tried with a process for each env
LONG_SPIN = 1e-3  # seconds
FINALISTS = 2
PROBE_ENVS = 4
SIZE_SECONDS = 0.1  # sizes are not tried whose batch takes longer in a bare loop
IN_PROCESS = 0
LEAST_SLICE, MOST_SLICE = 0.1, 0.3  # seconds
ROUNDS = 9
# What part of the time goes where; the rest is the final.
PROBE_SHARE, SIZES_SHARE, WORKERS_SHARE, WAITING_SHARE = 0.05, 0.15, 0.2, 0.2

Measure = Callable[[Cell, float], CellResult]


class NothingMeasured(Exception):
    """The env could not be measured; the text says why."""


@dataclass(frozen=True)
class Settings:
    """Arguments of RingVectorEnv that are tried; None and False are its defaults.

    Attributes:
        num_workers: Worker processes.
        spin: Seconds that a process spins before it sleeps.
        pin: Whether each worker is pinned to a CPU.
    """

    num_workers: int | None = None
    spin: float | None = None
    pin: bool = False

    def options(self) -> dict[str, Any]:
        """Those that are not the default."""
        return {
            key: value
            for key, value in asdict(self).items()
            if value is not None and value is not False
        }

    @property
    def label(self) -> str:
        """The arguments as one would write them."""
        return ", ".join(f"{key}={value!r}" for key, value in self.options().items()) or "defaults"


DEFAULTS = Settings()


@dataclass(frozen=True)
class Tried:
    """What was seen of one candidate in one part of the search.

    Attributes:
        part: "size", "workers", "waiting" or "final".
        label: The arguments.
        num_envs: Envs in a batch.
        rate: Env steps in a second, None where it could not be measured.
        ratio: How many times as fast as the defaults it was, or, among sizes, as the smallest.
        failure: What went wrong, if anything did.
    """

    part: str
    label: str
    num_envs: int
    rate: Interval | None
    ratio: Interval | None
    failure: str | None = None


@dataclass
class Outcome:
    """What to use, and how sure that is.

    Attributes:
        target: The env.
        num_envs: Envs in a batch.
        think: Seconds the caller computed after each step.
        settings: What to use.
        lead: How many times as fast as the defaults it is; None where it is the defaults.
        runner_up: The best of the others in the final.
        ahead: How many times as fast as the runner-up it is.
        in_process: How many times as fast as it ``num_workers=0`` is, which isolates nothing.
        of_ceiling: The fraction of the ceiling that it reached: cores times a bare loop.
        sleeps: Whether the env mostly sleeps or waits.
        tried: All that was measured, in order.
    """

    target: str
    num_envs: int
    think: float
    settings: Settings = DEFAULTS
    lead: Interval | None = None
    runner_up: Settings | None = None
    ahead: Interval | None = None
    in_process: Interval | None = None
    of_ceiling: float | None = None
    sleeps: bool = False
    tried: list[Tried] = field(default_factory=list)

    def code(self) -> str:
        """The line to paste, with its import where it needs one."""
        options = "".join(f", {key}={value!r}" for key, value in self.settings.options().items())
        make = workloads.find(self.target).make
        if isinstance(make, functools.partial) and make.func is gymnasium.make and make.args:
            return f"envring.make_vec({make.args[0]!r}, num_envs={self.num_envs}{options})"
        module, colon, name = self.target.partition(":")
        first = f"from {module} import {name}\n" if colon else ""
        make_name = name if colon else "make_env"
        return f"{first}envring.RingVectorEnv([{make_name}] * {self.num_envs}{options})"

    def as_json(self) -> dict[str, Any]:
        """Everything, for a JSON file."""
        found = {key: value for key, value in asdict(self).items() if key != "settings"}
        return found | {"options": self.settings.options(), "code": self.code()}


class Search:
    """The search for one env.

    Args:
        target: The name of a workload.
        num_envs: Envs in a batch, None to find that, too.
        think: Seconds for which the caller computes after each step.
        cores: Usable processors.
        measure: Measures a cell for about so many seconds.
        tell: Called with what is being tried next.
    """

    def __init__(
        self,
        target: str,
        num_envs: int | None,
        *,
        think: float,
        cores: int,
        measure: Measure,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._given = num_envs
        self._cores = cores
        self._measure = measure
        self._tell = tell
        self._outcome = Outcome(target, num_envs or SIZES[0], think)
        self._step_seconds = 0.0

    def run(self, seconds: float) -> Outcome:
        """Search for about so many seconds.

        Raises:
            NothingMeasured: if the env fails, or takes too long to be measured in the time.
        """
        end = time.monotonic() + seconds
        outcome = self._outcome
        self._tell("a bare loop")
        self._probe(seconds * PROBE_SHARE)
        if self._given is None:
            self._tell("envs in a batch")
            outcome.num_envs = self._best_size(seconds * SIZES_SHARE)
        self._tell("number of workers")
        numbers = worker_counts(outcome.num_envs, self._cores, outcome.sleeps)
        best = self._halve("workers", map(self._with_workers, numbers), seconds * WORKERS_SHARE)
        self._tell("spinning and pinning")
        variants = [each for some in best for each in waiting_variants(some, outcome.sleeps)]
        best = self._halve("waiting", variants, seconds * WAITING_SHARE)
        self._tell("the best two and the defaults")
        # The best one's number alone, lest luck adds an argument that brings nothing.
        plain = Settings(best[0].num_workers) if best else DEFAULTS
        self._final(list(dict.fromkeys([*best, plain])), end - time.monotonic())
        return outcome

    def _with_workers(self, number: int) -> Settings:
        """The default number is no argument."""
        default = min(self._outcome.num_envs, self._cores)
        return DEFAULTS if number == default else Settings(num_workers=number)

    def _probe(self, seconds: float) -> None:
        """Find out whether the env sleeps, and whether it works at all."""
        outcome = self._outcome
        cell = Cell(outcome.target, PROBE_ENVS, (Contestant(BARE, BARE),))
        found = self._measure(cell, seconds)
        rate, busy = found.rate(BARE), found.cores_used(BARE)
        if rate is None:
            raise NothingMeasured(found.failures.get(BARE) or "not one slice was in time")
        self._step_seconds = 1 / rate.median
        samples = found.of(BARE)
        gave_way = sum(each.voluntary or 0 for each in samples)
        # Whoever only computes is idle, too, where others hold the processor: by force.
        forced = sum(each.involuntary or 0 for each in samples)
        outcome.sleeps = busy is not None and busy.median < SLEEPS and gave_way > forced

    def _best_size(self, seconds: float) -> int:
        """The smallest batch beyond which larger ones bring little."""
        outcome = self._outcome
        contestants = {}
        for size in SIZES:
            if size > SIZES[0] and size * self._step_seconds > SIZE_SECONDS:
                break
            # Envs that sleep gain from a larger batch only if each has a worker.
            if outcome.sleeps and size > MOST_SLEEPERS:
                break
            settings = Settings(num_workers=size) if outcome.sleeps else DEFAULTS
            contestants[size] = replace(
                _contestant(settings), label=f"num_envs={size}", num_envs=size
            )
        cell = Cell(outcome.target, SIZES[0], tuple(contestants.values()), think=outcome.think)
        result = self._measure(cell, seconds)
        found = {}
        for size, each in contestants.items():
            ratio = interval(result.ratios(each.label, contestants[SIZES[0]].label))
            if ratio is not None:
                found[size] = ratio.median
            outcome.tried.append(
                Tried(
                    "size",
                    _contestant(Settings(**each.options)).label,
                    size,
                    interval(list(result.rates(each.label).values())),
                    None if size == SIZES[0] else ratio,
                    result.failures.get(each.label),
                )
            )
        return smallest_good(found)

    def _halve(self, part: str, candidates: Iterable[Settings], seconds: float) -> list[Settings]:
        """Measure all, drop the worse half, and so on until `FINALISTS` are left."""
        left = list(dict.fromkeys(candidates))
        passes = max(1, int(math.log2(max(len(left), 1) / FINALISTS)))
        for number in range(passes):
            if len(left) <= FINALISTS and number:
                break
            result = self._contest(left, seconds / passes)
            self._note(part, result, left)
            there = [each for each in left if _rate(result, each)]
            ranked = sorted(there, key=lambda each: -_lead(result, each))
            keep = FINALISTS if number == passes - 1 else max(FINALISTS, math.ceil(len(left) / 2))
            left = ranked[:keep]
        return left

    def _contest(
        self, candidates: Sequence[Settings], seconds: float, *more: Contestant
    ) -> CellResult:
        """Measure candidates, and the defaults whether they are among them or not."""
        outcome = self._outcome
        each = dict.fromkeys([DEFAULTS, *candidates])
        cell = Cell(
            outcome.target,
            outcome.num_envs,
            (*map(_contestant, each), *more),
            think=outcome.think,
        )
        return self._measure(cell, seconds)

    def _note(self, part: str, result: CellResult, candidates: Iterable[Settings]) -> None:
        for each in dict.fromkeys([DEFAULTS, *candidates]):
            rates = list(result.rates(each.label).values())
            self._outcome.tried.append(
                Tried(
                    part,
                    each.label,
                    result.cell.num_envs,
                    interval(rates),
                    None if each == DEFAULTS else interval(_ratios(result, each, DEFAULTS)),
                    result.failures.get(each.label),
                )
            )

    def _final(self, finalists: Sequence[Settings], seconds: float) -> None:
        outcome, inside = self._outcome, Settings(num_workers=IN_PROCESS)
        result = self._contest([*finalists, inside], seconds, Contestant(BARE, BARE))
        self._note("final", result, [*finalists, inside])
        there = [each for each in dict.fromkeys([DEFAULTS, *finalists]) if _rate(result, each)]
        if not there:
            failure = result.failures.get(DEFAULTS.label, "not one slice was in time")
            raise NothingMeasured(failure)
        best = outcome.settings = choose(result, there)
        others = sorted((each for each in there if each != best), key=lambda e: -_rate(result, e))
        if best != DEFAULTS:
            outcome.lead = interval(_ratios(result, best, DEFAULTS))
        if others:
            outcome.runner_up = others[0]
            outcome.ahead = interval(_ratios(result, best, others[0]))
        outcome.in_process = interval(_ratios(result, inside, best))
        fraction = result.of_ceiling(best.label)
        outcome.of_ceiling = None if fraction is None else fraction.median


def measure_for(
    cell: Cell, seconds: float, *, cores: int, advanced: Callable[[], None] = lambda: None
) -> CellResult:
    """Measure a cell for about so many seconds: with short slices, where that makes more rounds."""
    count = len(cell.contestants)
    slice_seconds = min(MOST_SLICE, max(LEAST_SLICE, seconds / (count * ROUNDS)))
    return run_cell(
        cell,
        cores=cores,
        rounds=max(3, int(seconds / (count * slice_seconds * 1.3))),
        slice_seconds=slice_seconds,
        deadline=time.monotonic() + seconds,
        construct_seconds=seconds / 2,
        grace=min(GRACE_SECONDS, max(1.0, seconds / 4)),
        advanced=advanced,
    )


def worker_counts(num_envs: int, cores: int, sleeps: bool) -> list[int]:
    """Numbers of workers worth a try.

    Args:
        num_envs: Envs in a batch: there are never more workers.
        cores: Usable processors.
        sleeps: Whether envs mostly sleep, so that more workers than cores make sense.
    """
    found = {1, cores // 2, cores - 1, cores, 2 * cores}
    if sleeps:
        number = 4 * cores
        while number < min(num_envs, MOST_WORKERS):
            found.add(number)
            number *= 2
        found.add(min(num_envs, MOST_WORKERS))
    return sorted(each for each in found if 1 <= each <= num_envs)


def waiting_variants(settings: Settings, sleeps: bool) -> list[Settings]:
    """``settings`` with other ways of waiting; the plain ones first."""
    number = settings.num_workers
    found = [settings, Settings(number, spin=0.0), Settings(number, spin=LONG_SPIN)]
    if not sleeps:  # whoever sleeps is better off on whatever CPU is free
        found += [Settings(number, pin=True), Settings(number, spin=LONG_SPIN, pin=True)]
    return found


def smallest_good(speeds: dict[int, float]) -> int:
    """The smallest size that no larger one beats by `GAIN`."""
    for size, speed in sorted(speeds.items()):
        if all(other < speed * GAIN for larger, other in speeds.items() if larger > size):
            return size
    return SIZES[0]


def choose(result: CellResult, candidates: Sequence[Settings]) -> Settings:
    """The fastest of the candidates, or a plainer one that is as good.

    It has to be faster than the defaults beyond doubt: else these stay. Among those that are, one
    with fewer arguments is taken where it is nearly as fast as the fastest and may be faster.

    Args:
        result: What was measured.
        candidates: Those with a rate, the defaults among them if they have one.
    """
    there = [each for each in candidates if each != DEFAULTS]
    if DEFAULTS in candidates:
        there = [each for each in there if _surely_faster(result, each, DEFAULTS)]
    if not there:
        return DEFAULTS
    best = max(there, key=lambda each: _rate(result, each))
    near = [
        each
        for each in there
        if not _surely_faster(result, best, each)
        and _rate(result, best) < GAIN * _rate(result, each)
    ]
    return min([best, *near], key=lambda each: (len(each.options()), -_rate(result, each)))


def _surely_faster(result: CellResult, one: Settings, other: Settings) -> bool:
    lead = interval(_ratios(result, one, other))
    return lead is not None and lead.low > 1


def _contestant(settings: Settings) -> Contestant:
    return Contestant(settings.label, "envring", settings.options())


def _ratios(result: CellResult, over: Settings, under: Settings) -> list[float]:
    return result.ratios(over.label, under.label)


def _rate(result: CellResult, settings: Settings) -> float:
    found = result.rate(settings.label)
    return 0.0 if found is None else found.median


def _lead(result: CellResult, settings: Settings) -> float:
    """Median ratio to the defaults, or its rate where these failed; less what arguments cost."""
    found = result.ratio(settings.label, DEFAULTS.label)
    speed = _rate(result, settings) if found is None else found.median
    return speed / PRICE ** len(settings.options())
