# SPDX-License-Identifier: MIT
"""How figures, cells and peers are put into words."""

import subprocess
import sys

import pytest

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import CellResult, Footprint, Latency
from envring.bench.measuring.stats import Interval
from envring.bench.plan.cells import Cell, Contestant
from envring.bench.reporting import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (999, "999"),
        (999.9, "1 k"),
        (12345, "12.3 k"),
        (999_900, "1 M"),
        (2.5e9, "2.5 G"),
    ],
)
def test_short_has_three_figures(value, text):
    assert wording.short(value) == text


def test_a_range_names_a_shared_unit_once():
    assert wording.between(1200, 1300) == "1.2 to 1.3 k"
    assert wording.between(900, 1300) == "900 to 1.3 k"
    assert wording.between(1200, 1201) == "1.2 k"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (7.61e-6, "7.61 us"), (300e-6, "300 us"), (0.0204, "20.4 ms"), (11.0, "11 s")],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, "-"), (312_400_000, "312 MB"), (2_500_000_000, "2.5 GB")]
)
def test_sizes(count, text):
    assert wording.size(count) == text


def test_the_interval_of_a_ratio_tells_on_which_side_of_one_it_lies():
    assert wording.ratio_reach(Interval(1.2, 1.0, 1.4996, 9)) == "1.00 to 1.50"
    assert wording.ratio_reach(Interval(500.0, 450.4, 1551.0, 9)) == "450 to 1551"
    assert wording.ratio_reach(Interval(2.0, 0.0, float("inf"), 1)) == "-"
    assert wording.ratio_reach(Interval(2.0, 0.01, 40.0, 2)) == "unsure"
    assert wording.reach(Interval(2.0, 0.0, float("inf"), 1)) == "-"


def test_a_cell_is_named_by_what_tells_it_from_others():
    assert wording.heading(Cell("null", 1, ())) == "empty env x 1 env"
    busy = Cell("cartpole", 64, (), num_workers=2, think=300e-6)
    assert wording.heading(busy) == (
        "CartPole-v1 x 64 envs, 2 workers, the caller busy 300 us after each step"
    )


def test_a_cell_of_an_env_that_cannot_be_loaded_here_is_named():
    assert wording.heading(Cell("somebodys:Env", 8, ())) == "somebodys:Env x 8 envs"


def test_a_contestant_with_options_of_its_own_keeps_its_label():
    ours = Contestant("two pinned", "envring", {"pin": True})
    cell = Cell("null", 8, (ours, Contestant("sync", "sync")))
    assert wording.peer_title(cell, "two pinned") == "two pinned"
    assert wording.peer_title(cell, "sync") == "SyncVectorEnv"


def test_columns_that_say_nothing_are_left_out(result):
    columns, rows = wording.rows(result, wording.columns(result, "async"))
    assert [each.title for each in columns[:3]] == ["env steps/s", "95 %", "x Async"]
    assert "memory" not in [each.title for each in columns]
    assert [peer for peer, _ in rows] == ["envring", "async", "sync", "bare"]
    assert all(len(texts) == len(columns) for _, texts in rows)


def test_every_figure_of_a_cell_has_its_column(sample):
    result = CellResult(Cell.of("null", 64, ("envring", "bare-all")), cores=2)
    more = {"cpu": 1.5, "voluntary": 20, "involuntary": 4}
    for number in range(3):
        quantiles = Latency(1e-3, 2e-3, 3e-3, 4e-3)
        result.samples.append(sample("envring", number, 12000, latency=quantiles, **more))
        result.samples.append(sample("bare-all", number, 16000))
    result.footprints["envring"] = Footprint(0.2, 0.03, 250_000_000, 3)
    columns, rows = wording.rows(result, wording.columns(result, "bare-all"))
    texts = dict(zip([each.title for each in columns], rows[0][1], strict=True))
    texts.pop("95 %")
    assert texts == {
        "env steps/s": "12 k",
        "x bare-all": "0.75x",
        "of loops": "0.75",
        "cores": "1.50",
        "switches": "2",
        "memory": "250 MB",
        "start": "200 ms",
        "close": "30 ms",
        "processes": "3",
        "batch p50": "1 ms",
        "p90": "2 ms",
        "p99": "3 ms",
        "longest": "4 ms",
    }


def test_a_baseline_that_has_no_figure_is_replaced(result):
    result.samples = [each for each in result.samples if each.peer != "async"]
    titles = [each.title for each in wording.columns(result, "async")]
    assert "x bare" in titles
    assert "x Async" not in titles


def test_failures_and_refusals_are_noted(result):
    result.failures["async"] = "hung"
    result.refusals["sync"] = "Dict observations"
    notes = wording.notes(result)
    assert "AsyncVectorEnv: hung" in notes
    assert "SyncVectorEnv not measured: Dict observations" in notes
    assert "medians over 3 rounds; ratios are taken within each round" in notes


def test_absent_peers_are_named_by_the_command_that_adds_them(hardware):
    absent = {
        "sb3-dummy": "pip install sb3",
        "sb3-subproc": "pip install sb3",
        "x": "pip install y",
    }
    lines = wording.absent_lines(Document(hardware, [], absent=absent))
    assert len(lines) == 2
    assert lines[0].endswith("(pip install sb3)")
    assert lines[1] == "not installed: x (pip install y)"


def test_the_load_is_told_or_said_to_be_unknown(hardware):
    assert wording.load_line(hardware) == "load average before 0, after 0.5"
    assert wording.load_line({}) == "load average before unknown, after unknown"


def test_a_breakdown_is_told_in_shares_of_a_step_without_the_recording(result, hardware):
    parts = {"env": 0.6, "waiting": 0.3, "caller": 0.06, "unattributed": 0.04}
    result.breakdowns["envring"] = parts | {"recording": 0.5, "wall": 1.5, "batches": 1000}
    result.breakdowns["envring"]["slowdown"] = 0.021
    heads, ((title, *texts),) = wording.breakdown_table(Document(hardware, [result]))
    assert title == "CartPole-v1 x 64 envs: RingVectorEnv"
    assert dict(zip(heads[1:], texts, strict=True)) == {
        "a step": "1 ms",
        "env": "60.0 %",
        "imbalance": "0.0 %",
        "copying": "0.0 %",
        "signalling": "0.0 %",
        "waiting": "30.0 %",
        "caller": "6.0 %",
        "unattributed": "4.0 %",
        "slowed by": "2.1 %",
    }


def test_only_tables_need_rich_and_only_pictures_matplotlib():
    code = (
        "import sys; from envring.bench.measuring import results; "
        "from envring.bench.reporting import compare, markdown, summary, wording; "
        "sys.exit(bool({'rich', 'matplotlib', 'click'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
