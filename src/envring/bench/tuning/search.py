# SPDX-License-Identifier: MIT
"""The search for arguments of RingVectorEnv that suit an env on this machine, in a time budget.

Candidates are measured against each other in turns, each in a fresh process, and the worse half of
them is dropped until two are left: first the numbers of workers, then spinning and pinning for the
best numbers. The last and longest part measures these two and the defaults again, so that the luck
that selected them does not bias the result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from envring.bench.measuring.runner import CONSTRUCT_SECONDS, GRACE_SECONDS, run_cell
from envring.bench.measuring.samples import CellResult
from envring.bench.plan.cells import BARE, OURS, Cell, Contestant
from envring.bench.tuning.settings import (
    DEFAULTS,
    SIZES,
    Outcome,
    Settings,
    Tried,
    choose,
    rate,
    smallest_good,
    waiting_variants,
    worker_counts,
)

PRICE = 1.02  # each argument has to gain this factor, before the final
NEAR = 0.85  # candidates below this fraction of the best are dropped at once
SLEEPS = 0.8  # if a bare loop keeps fewer cores busy, its envs sleep or wait
MOST_SLEEPERS = 128  # the largest size that is tried with a process for each env
FINALISTS = 2
PROBE_ENVS = 4
SIZE_SECONDS = 0.1  # sizes whose batch takes longer in a bare loop are not tried
IMPORT_SECONDS = 0.3  # to start a candidate, without its envs
LEAST_SLICE, MOST_SLICE = 0.1, 0.2  # seconds
ROUNDS = 9
# The share of the time of each part, in this order.
SHARES = {"probe": 0.05, "size": 0.15, "workers": 0.2, "waiting": 0.2, "final": 0.4}
LEAST_SECONDS = 1.0  # for each of them, even if it is late

Measure = Callable[[Cell, float], CellResult]


class NothingMeasured(Exception):
    """The env could not be measured; the text says why."""


class Search:
    """The search for one env.

    Args:
        target: The name of a workload.
        num_envs: Envs in a batch; None to search for it too.
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
        self._step_seconds = self._env_seconds = 0.0
        self._end = 0.0

    def run(self, seconds: float) -> Outcome:
        """Search for about so many seconds.

        Raises:
            NothingMeasured: if the env fails, or takes too long to be measured in the time.
        """
        self._end = time.monotonic() + seconds
        outcome = self._outcome
        self._tell("a bare loop")
        self._probe()
        if self._given is None:
            self._tell("envs in a batch")
            outcome.num_envs = self._best_size()
        self._tell("number of workers")
        numbers = worker_counts(outcome.num_envs, self._cores, outcome.sleeps)
        best = list(map(self._with_workers, numbers))
        if len(best) > FINALISTS:
            best = self._halve("workers", best)
        self._tell("spinning and pinning")
        variants = [each for some in best for each in waiting_variants(some, outcome.sleeps)]
        best = self._halve("waiting", variants)
        self._tell("the best two and the defaults")
        # Its number of workers alone, too: luck may have added an argument that gains nothing.
        plain = Settings(best[0].num_workers) if best else DEFAULTS
        self._final(list(dict.fromkeys([*best, plain])))
        return outcome

    def _seconds(self, part: str) -> float:
        """How long a part may take: its share of the time that is left."""
        names = list(SHARES)
        coming = sum(SHARES[name] for name in names[names.index(part) :])
        left = self._end - time.monotonic()
        return max(LEAST_SECONDS, left * SHARES[part] / coming)

    def _start_seconds(self) -> float:
        """About how long a candidate takes to be imported and constructed."""
        return IMPORT_SECONDS + self._env_seconds * self._outcome.num_envs / self._cores

    def _with_workers(self, number: int) -> Settings:
        """Settings with so many workers; the default number is not an argument."""
        default = min(self._outcome.num_envs, self._cores)
        return DEFAULTS if number == default else Settings(num_workers=number)

    def _probe(self) -> None:
        """Find out whether the env works, and whether it sleeps."""
        outcome = self._outcome
        cell = Cell(outcome.target, PROBE_ENVS, (Contestant(BARE, BARE),))
        begun = time.monotonic()
        found = self._measure(cell, self._seconds("probe"))
        elapsed = time.monotonic() - begun
        rate, busy = found.rate(BARE), found.cores_used(BARE)
        if rate is None:
            raise NothingMeasured(found.failures.get(BARE) or "no slice was finished in time")
        # The time without steps was mostly construction and the first reset.
        starting = elapsed - sum(each.seconds for each in found.samples) - IMPORT_SECONDS
        self._env_seconds = max(0.0, starting) / PROBE_ENVS
        self._step_seconds = 1 / rate.median
        samples = found.of(BARE)
        gave_way = sum(each.voluntary or 0 for each in samples)
        # An env that only computes is idle too while others hold the processor, but not
        # voluntarily.
        forced = sum(each.involuntary or 0 for each in samples)
        outcome.sleeps = busy is not None and busy.median < SLEEPS and gave_way > forced

    def _best_size(self) -> int:
        """The smallest batch that larger ones hardly beat."""
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
        result = self._measure(cell, self._seconds("size"))
        found = {}
        for size, each in contestants.items():
            ratio = result.ratio_interval(each.label, contestants[SIZES[0]].label)
            if ratio is not None:
                found[size] = ratio.median
            outcome.tried.append(
                Tried(
                    "size",
                    _contestant(Settings(**each.options)).label,
                    size,
                    result.interval(each.label),
                    None if size == SIZES[0] else ratio,
                    result.failures.get(each.label),
                )
            )
        return smallest_good(found)

    def _halve(self, part: str, candidates: Iterable[Settings]) -> list[Settings]:
        """Measure all, drop the worse half, and so on until `FINALISTS` are left."""
        left = list(dict.fromkeys(candidates)) or [DEFAULTS]
        seconds = self._seconds(part)
        passes = count_passes(len(left), seconds, self._start_seconds())
        for number in range(passes):
            if len(left) <= FINALISTS and number:
                break
            result = self._contest(left, seconds / passes)
            self._note(part, result, left)
            leads = {each: _lead(result, each) for each in left if rate(result, each)}
            near = NEAR * max(leads.values(), default=0.0)
            ranked = sorted((each for each in leads if leads[each] >= near), key=leads.__getitem__)
            ranked.reverse()
            keep = FINALISTS if number == passes - 1 else max(FINALISTS, math.ceil(len(left) / 2))
            left = ranked[:keep]
        return left

    def _contest(
        self, candidates: Sequence[Settings], seconds: float, *more: Contestant
    ) -> CellResult:
        """Measure the candidates and, in any case, the defaults."""
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
            self._outcome.tried.append(
                Tried(
                    part,
                    each.label,
                    result.cell.num_envs,
                    result.interval(each.label),
                    None if each == DEFAULTS else result.ratio_interval(each.label, DEFAULTS.label),
                    result.failures.get(each.label),
                )
            )

    def _final(self, finalists: Sequence[Settings]) -> None:
        outcome, inside = self._outcome, Settings(num_workers=0)
        loop = Contestant(BARE, BARE)
        result = self._contest([*finalists, inside], self._seconds("final"), loop)
        self._note("final", result, [*finalists, inside])
        there = [each for each in dict.fromkeys([DEFAULTS, *finalists]) if rate(result, each)]
        if not there:
            failure = result.failures.get(DEFAULTS.label, "no slice was finished in time")
            raise NothingMeasured(failure)
        best = outcome.settings = choose(result, there)
        others = sorted((each for each in there if each != best), key=lambda e: -rate(result, e))
        if best != DEFAULTS:
            outcome.lead = result.ratio_interval(best.label, DEFAULTS.label)
        if others:
            outcome.runner_up = others[0]
            outcome.ahead = result.ratio_interval(best.label, others[0].label)
        outcome.in_process = result.ratio_interval(inside.label, best.label)
        fraction = result.of_ceiling(best.label)
        outcome.of_ceiling = None if fraction is None else fraction.median


def measure_for(
    cell: Cell, seconds: float, *, cores: int, advanced: Callable[[], None] = lambda: None
) -> CellResult:
    """Measure a cell for about `seconds`, with short slices if that makes more rounds."""
    count = len(cell.contestants)
    slice_seconds = min(MOST_SLICE, max(LEAST_SLICE, seconds / (count * ROUNDS)))
    return run_cell(
        cell,
        cores=cores,
        rounds=max(3, int(seconds / (count * slice_seconds * 1.3))),
        slice_seconds=slice_seconds,
        deadline=time.monotonic() + seconds,
        construct_seconds=max(CONSTRUCT_SECONDS, 0.7 * seconds),
        grace=min(GRACE_SECONDS, max(1.0, seconds / 4)),
        advanced=advanced,
    )


def count_passes(candidates: int, seconds: float, start_seconds: float) -> int:
    """How often to halve so many candidates until `FINALISTS` are left, if time allows.

    Args:
        candidates: How many there are.
        seconds: Time for all passes.
        start_seconds: How long it takes to start one, which each pass does again. Half of the time
            is left for measuring.
    """
    halvings = int(math.log2(candidates / FINALISTS))
    return max(1, min(halvings, int(seconds / (2 * candidates * start_seconds))))


def _contestant(settings: Settings) -> Contestant:
    return Contestant(settings.label, OURS, settings.options())


def _lead(result: CellResult, settings: Settings) -> float:
    """Median ratio to the defaults, or the rate if they failed; reduced by `PRICE` per argument."""
    found = result.ratio(settings.label, DEFAULTS.label)
    speed = rate(result, settings) if found is None else found.median
    return speed / PRICE ** len(settings.options())
