# SPDX-License-Identifier: MIT
"""How groups are measured: all sides of a group by turns, each reported by its own test."""

import contextlib
import os
import sys

import pytest

from envring.bench.measuring.stats import allowance, interval
from envring.cpus import allowed_cpus, usable_cpus
from support.interleaved import measure
from support.ratios import by_round


class Replay:
    """A clock for pytest-benchmark that moves only by what was measured before."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def rewind(self):
        self.now = 0.0

    def play(self, seconds):
        self.now += seconds


REPLAY = Replay()
MEASURED = pytest.StashKey()


def pytest_addoption(parser):
    options = parser.getgroup("envring benchmarks")
    options.addoption("--rounds", type=int, default=21, help="slices of each side")
    options.addoption("--slice", type=float, default=0.02, help="seconds of a slice")
    options.addoption("--cores", type=int, default=2, help="processors to use at most")


def pytest_configure(config):
    config.stash[MEASURED] = {}


@contextlib.contextmanager
def on_some(cpus):
    """Restricts this process, and those it starts meanwhile, to the first of its CPUs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, allowed_cpus()[:cpus])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pytest_collection_modifyitems(items):
    for item in items:
        if "interleaved" in item.fixturenames:
            item.add_marker(pytest.mark.benchmark(timer=REPLAY))
            item.add_marker(pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"))


@pytest.fixture
def interleaved(benchmark, request):
    """Measures a group, all sides by turns, when the first of its tests runs; reports one side.

    Call it with the side to report, the group's name, the `Side` of each name, what one operation
    is, and how many rounds there are at most.
    """
    config = request.config
    measured = config.stash[MEASURED]

    def report(side, group, sides, operation="a batch", most=None):
        if group not in measured:
            wanted = min(config.getoption("rounds"), most or sys.maxsize)
            with on_some(config.getoption("cores")):
                measured[group] = measure(
                    sides, wanted if benchmark.enabled else 1, config.getoption("slice")
                )
        found = measured[group]
        benchmark.group = group
        benchmark.extra_info |= {
            "side": side,
            "sides": list(sides),
            "operation": operation,
            "outside": found.outside,
            "cores": min(config.getoption("cores"), usable_cpus()),
        }
        seconds = found.seconds[side]
        left = iter(seconds)
        benchmark.pedantic(
            lambda: REPLAY.play(next(left)), setup=REPLAY.rewind, rounds=len(seconds)
        )

    return report


def pytest_terminal_summary(terminalreporter, config):
    measured = config.stash[MEASURED]
    quiet = config.getoption("benchmark_disable") or config.getoption("benchmark_quiet")
    if not measured or quiet:
        return
    cores = min(config.getoption("cores"), usable_cpus())
    terminalreporter.section("how many times as fast, with 95 % intervals")
    for group, found in measured.items():
        ours = next(iter(found.seconds))
        for base, rounds in by_round(found.seconds).items():
            ratio = interval(rounds, allowance(found.outside, cores))
            reach = f"{ratio.low:.3g} to {ratio.high:.3g}"
            line = f"{ratio.median:8.3g}x {reach:18} {group}: {ours} against {base}"
            terminalreporter.line(line)
