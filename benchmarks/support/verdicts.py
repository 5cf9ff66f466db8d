# SPDX-License-Identifier: MIT
"""How ratios have changed since a baseline, and the baseline's format."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from envring.bench.measuring.stats import Interval, allowance
from support.ratios import Runs, by_round, of_run

MAY_LOSE = 0.05  # by how much our side may be slower before a comparison fails

Found = dict[tuple[str, str], Runs]  # by group and the side compared with


@dataclass(frozen=True)
class Run:
    """One run of pytest.

    Attributes:
        ratios: The ratios that it measured.
        tests: The ids of the tests of each group.
        outside: Processors that other programs kept busy, in the worst group.
    """

    ratios: Found
    tests: Mapping[str, list[str]]
    outside: float


@dataclass(frozen=True)
class Verdict:
    """How our side has changed against one other.

    Attributes:
        group: The group.
        base: The side compared with.
        then: The stored ratio.
        now: The ratio of now.
        change: now / then.
        decides: Whether it is the group's most precise ratio.
    """

    group: str
    base: str
    then: Interval
    now: Interval
    change: Interval
    decides: bool = False

    @property
    def text(self) -> str:
        """The verdict in words."""
        if self.change.low > 1:
            return "faster"
        if self.change.high < 1:
            return "slower"
        return "no difference seen"

    @property
    def suspect(self) -> bool:
        """Whether our side seems slower."""
        return self.decides and self.change.high < 1

    @property
    def lost(self) -> bool:
        """Whether our side is clearly slower."""
        return self.decides and self.change.high < 1 - MAY_LOSE


def machine_class(hardware: Mapping[str, Any]) -> str:
    """The name of the machines whose ratios can be compared: architecture, processor, cores."""
    architecture = str(hardware["kernel"]).rpartition(" ")[2]
    cpu = re.sub(r"[^a-z0-9]+", "-", str(hardware["cpu"]).lower()).strip("-")
    return f"{architecture}-{cpu}-{hardware['cores_usable']}-cores"


def read_run(report: Mapping[str, Any]) -> Run:
    """What a report of pytest-benchmark says, without groups that lack a side."""
    seconds: dict[str, dict[str, list[float]]] = {}
    tests: dict[str, list[str]] = {}
    outside, unseen = 0.0, {}
    for each in report["benchmarks"]:
        group, info = each["group"], each["extra_info"]
        tests.setdefault(group, []).append(each["fullname"])
        seconds.setdefault(group, {side: [] for side in info["sides"]})
        seconds[group][info["side"]] = each["stats"]["data"]
        outside = max(outside, info["outside"] or 0.0)
        unseen[group] = allowance(info["outside"], info["cores"])
    ratios = {
        (group, base): Runs((of_run(rounds, unseen[group]),))
        for group, sides in seconds.items()
        if all(sides.values())
        for base, rounds in by_round(sides).items()
    }
    return Run(ratios, tests, outside)


def joined(runs: Iterable[Found]) -> Found:
    """All runs of each ratio."""
    found: Found = {}
    for run in runs:
        for key, each in run.items():
            found[key] = found[key] + each if key in found else each
    return found


def compare(then: Found, now: Found) -> list[Verdict]:
    """A verdict for each ratio that both have; in each group the most precise one decides."""
    verdicts = [
        Verdict(*key, then[key].overall, now[key].overall, now[key].over(then[key]))
        for key in now
        if key in then
    ]
    sharpest: dict[str, Verdict] = {}
    for each in verdicts:
        best = sharpest.setdefault(each.group, each)
        if each.change.high / each.change.low < best.change.high / best.change.low:
            sharpest[each.group] = each
    return [replace(each, decides=sharpest[each.group] is each) for each in verdicts]


def as_json(found: Found) -> dict[str, dict[str, Any]]:
    """By group and base: the ratio over all runs with its interval, and each run."""
    document: dict[str, dict[str, Any]] = {}
    for (group, base), runs in found.items():
        each = [_rounded(run) for run in runs.each]
        document.setdefault(group, {})[base] = _rounded(runs.overall) | {"runs": each}
    return document


def from_json(document: Mapping[str, Mapping[str, Any]]) -> Found:
    """Restore what `as_json` made."""
    return {
        (group, base): Runs(tuple(Interval(**run) for run in ratio["runs"]))
        for group, bases in document.items()
        for base, ratio in bases.items()
    }


def _rounded(ratio: Interval) -> dict[str, Any]:
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in asdict(ratio).items()
    }
