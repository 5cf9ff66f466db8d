# SPDX-License-Identifier: MIT
"""Arguments of RingVectorEnv: which to try, and which to choose."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import gymnasium

from envring.bench import workloads
from envring.bench.measuring.samples import CellResult
from envring.bench.measuring.stats import Interval

SIZES = (8, 16, 32, 64, 128, 256)
GAIN = 1.05  # a larger batch has to be faster than a smaller one by this factor
MOST_WORKERS = 256
LONG_SPIN = 1e-3  # seconds


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
        """The arguments that are not the default."""
        return {
            key: value
            for key, value in asdict(self).items()
            if value is not None and value is not False
        }

    @property
    def label(self) -> str:
        """The arguments as written in a call."""
        return ", ".join(f"{key}={value!r}" for key, value in self.options().items()) or "defaults"


DEFAULTS = Settings()


@dataclass(frozen=True)
class Tried:
    """The measurement of one candidate in one part of the search.

    Attributes:
        part: "size", "workers", "waiting" or "final".
        label: The arguments.
        num_envs: Envs in a batch.
        rate: Env steps per second; None if it could not be measured.
        ratio: Its rate over that of the defaults or, among sizes, of the smallest one.
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
    """What to use, and how certain that is.

    Attributes:
        target: The env.
        num_envs: Envs in a batch.
        think: Seconds the caller computed after each step.
        settings: What to use.
        lead: Its rate over that of the defaults; None if it is the defaults.
        runner_up: The second best of the final.
        ahead: Its rate over that of the runner-up.
        in_process: The rate of `num_workers=0`, which isolates nothing, over its own.
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
        """The line to paste, with its import if it needs one."""
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


def worker_counts(num_envs: int, cores: int, sleeps: bool) -> list[int]:
    """The numbers of workers to try.

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
    """`settings` with other ways of waiting; the plain ones first."""
    number = settings.num_workers
    found = [settings, Settings(number, spin=0.0), Settings(number, spin=LONG_SPIN)]
    if not sleeps:  # envs that sleep do better on any CPU that is free
        found += [Settings(number, pin=True), Settings(number, spin=LONG_SPIN, pin=True)]
    return found


def smallest_good(speeds: dict[int, float]) -> int:
    """The smallest size that no larger one beats by `GAIN`."""
    for size, speed in sorted(speeds.items()):
        if all(other < speed * GAIN for larger, other in speeds.items() if larger > size):
            return size
    return SIZES[0]


def choose(result: CellResult, candidates: Sequence[Settings]) -> Settings:
    """The fastest of the candidates, or a simpler one that is as good.

    It must be clearly faster than the defaults; otherwise these stay. Of those that are, one with
    fewer arguments is preferred if it is nearly as fast as the fastest and may be faster.

    Args:
        result: What was measured.
        candidates: Those with a rate, the defaults among them if they have one.
    """
    there = [each for each in candidates if each != DEFAULTS]
    if DEFAULTS in candidates:
        there = [each for each in there if _surely_faster(result, each, DEFAULTS)]
    if not there:
        return DEFAULTS
    best = max(there, key=lambda each: rate(result, each))
    near = [
        each
        for each in there
        if not _surely_faster(result, best, each) and rate(result, best) < GAIN * rate(result, each)
    ]
    return min([best, *near], key=lambda each: (len(each.options()), -rate(result, each)))


def _surely_faster(result: CellResult, one: Settings, other: Settings) -> bool:
    lead = result.ratio_interval(one.label, other.label)
    return lead is not None and lead.low > 1


def rate(result: CellResult, settings: Settings) -> float:
    """Median env steps per second; 0 if there are none."""
    found = result.rate(settings.label)
    return 0.0 if found is None else found.median
