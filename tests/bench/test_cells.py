# SPDX-License-Identifier: MIT
"""What a cell's samples say, and that they survive JSON."""

from dataclasses import replace

import pytest

from envring.bench.measuring import stats
from envring.bench.measuring.samples import CellResult, Latency
from envring.bench.plan.cells import Cell, Contestant


def test_ratios_do_not_see_the_drift(result):
    assert result.ratio("envring", "async") == stats.Spread(30, 30, 30, 3)
    assert result.of_ceiling("envring").median == pytest.approx(0.75)
    assert result.rate("envring").median == 600_000


def test_a_replaced_slice_does_not_count(result, sample):
    result.samples.append(sample("envring", 0, 1.0, kept=False))
    assert result.rate("envring").count == 3
    assert len(result.as_json()["samples"]) == 13


def test_labels_are_unique():
    with pytest.raises(ValueError, match="two contestants have the same label: bare, bare"):
        Cell("null", 2, (Contestant("bare", "bare"), Contestant("bare", "sync")))


def test_what_was_not_told_is_not_counted(result, sample):
    assert result.cores_used("envring") is None
    assert result.switches("envring") is None
    assert result.latency("envring") is None
    result.samples.append(sample("envring", 3, 2000, cpu=0.5, voluntary=3, involuntary=1))
    assert result.cores_used("envring").median == 0.5
    assert result.switches("envring").median == 2.0


def test_latencies_are_medians_over_the_rounds(result, sample):
    for number, scale in enumerate((1.0, 3.0, 2.0)):
        found = Latency(scale, 2 * scale, 3 * scale, 4 * scale)
        result.samples.append(sample("sync", 10 + number, 1, latency=found))
    medians = {name: each.median for name, each in result.latency("sync").items()}
    assert medians == {"p50": 2.0, "p90": 4.0, "p99": 6.0, "longest": 8.0}


def test_bare_loops_on_all_cores_are_another_ceiling(result, sample):
    for number, speed in enumerate((1, 2, 3)):
        result.samples.append(sample("bare-all", number, 360_000 * speed))
    assert result.of_cores("envring").median == pytest.approx(300 / 360)


def test_intervals_hold_the_medians(result):
    found = result.ratio_interval("envring", "async")
    assert found.low < found.median == 30 < found.high
    assert result.of_ceiling_interval("envring").median == pytest.approx(0.75)
    assert result.interval("envring").median == 600_000


def test_no_core_thinks_for_the_caller(result):
    # One batch a second in each sample: a quarter of it is the caller's own.
    found = CellResult(replace(result.cell, think=0.25), 2, result.samples)
    assert found.ceilings()[0] == pytest.approx(200_000 / (0.25 + 0.75 / 2))
    assert result.ceilings()[0] == 400_000
    assert found.of_ceiling("envring").median == pytest.approx(1.5 * (0.25 + 0.75 / 2))
