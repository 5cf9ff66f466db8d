# SPDX-License-Identifier: MIT
"""The tables of a run at a terminal."""

import io

import pytest
from rich.console import Console

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import Footprint
from envring.bench.reporting import compare, terminal


@pytest.fixture
def run(result, hardware):
    return Document(hardware, [result], absent={"sb3-dummy": "pip install stable-baselines3"})


def shown(print_it, width=80):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_it(console)
    assert console.width == width
    return console.file.getvalue()


def row(text, title="RingVectorEnv"):
    return " ".join(next(line for line in text.splitlines() if title in line).split())


def test_the_table_shows_every_figure_at_80_columns(run):
    text = shown(lambda console: terminal.show(console, run))
    assert row(text) == "RingVectorEnv 600 k 30x 29.4 to 30.6 2x 0.75"
    assert "ceiling: 2 cores x the Python loop = 800 k env steps/s" in text


@pytest.mark.parametrize("width", [50, 64, 80, 100])
def test_a_narrow_terminal_gets_fewer_columns_and_whole_ones(run, width):
    run.cells[0].footprints["envring"] = Footprint(0.2, 0.03, 250_000_000, 3)
    table = shown(lambda console: console.print(terminal.table(run.cells[0], width=width)), width)
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= width
    assert ("250 MB" in table) == (width >= 100)


def test_wide_shows_all_columns_whatever_the_terminal(run):
    run.cells[0].footprints["envring"] = Footprint(0.2, 0.03, 250_000_000, 3)
    text = shown(lambda console: terminal.show(console, run, wide=True), width=60)
    assert row(text).endswith("250 MB 200 ms 30 ms 3")
    assert "…" not in text


def test_the_table_names_a_failure_beside_the_other_figures(run):
    result = run.cells[0]
    result.samples = [each for each in result.samples if each.peer != "async"]
    result.failures["async"] = "hung [red]somewhere"
    text = shown(lambda console: terminal.show(console, run, baseline="sync"))
    assert "AsyncVectorEnv: hung [red]somewhere" in text
    assert row(text) == "RingVectorEnv 600 k 2x 1.96 to 2.04 0.75"
    assert row(text, "AsyncVectorEnv ") == "AsyncVectorEnv - - - -"


def test_the_table_says_when_the_machine_was_busy(run, sample):
    assert "DISTURBED" not in shown(lambda console: terminal.show(console, run))
    run.cells[0].samples.append(sample("sync", 3, 1000, outside=0.8))
    text = shown(lambda console: terminal.show(console, run))
    assert "DISTURBED: other programs held 0.80 cores" in text


def test_the_end_says_what_is_absent_what_is_lost_and_on_what_it_ran(run, sample):
    run.cells[0].samples = [
        sample(peer, number, rate)
        for number in range(5)
        for peer, rate in (("envring", 100), ("async", 10), ("sync", 150))
    ]
    text = shown(lambda console: terminal.show(console, run), width=120)
    assert "behind in CartPole-v1 x 64 envs: sync is 1.5x as fast (1.47 to 1.53)" in text
    assert "(pip install stable-baselines3)" in text
    assert "Test CPU, 2 of 4 cores, Linux 0; python 3" in text
    assert "load average before 0, after 0.5" in text


def test_many_cells_are_summed_up_beside_the_best_rival(run, sample):
    assert "best rival" not in shown(lambda console: terminal.show(console, run))
    run.cells *= 3
    text = shown(lambda console: terminal.show(console, run), width=100)
    found = text[text.index("best rival") :]
    assert row(found, "CartPole") == (
        "CartPole-v1 x 64 envs 600 k 30x 0.75 sync 2x 1.96 to 2.04 2x"
    )


def test_a_line_sums_up_a_cell_that_is_done(result):
    assert terminal.line(result) == (
        "CartPole-v1 x 64 envs: RingVectorEnv 600 k env steps/s, 30x Async, 0.75 of the ceiling"
    )
    result.samples.clear()
    assert terminal.line(result) == "CartPole-v1 x 64 envs: no figure"
    result.failures["sync"] = "crashed"
    assert terminal.line(result) == "CartPole-v1 x 64 envs: sync FAILED"


def test_progress_starts_no_thread():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with terminal.progress(console) as progress:
        assert progress.live._refresh_thread is None
        progress.update(progress.add_task("null x 8", total=4), advance=1, refresh=True)
    assert "null x 8" in console.file.getvalue()


def test_a_comparison_is_shown_with_its_warnings_and_its_sum(run):
    verdicts = compare.compare(run, run)
    text = shown(lambda console: terminal.show_comparison(console, verdicts, ["other [kernel]"]))
    assert "WARNING other [kernel]" in text
    assert row(text).startswith("RingVectorEnv 1.50 1.50 1x ")
    assert row(text).endswith(" no difference seen")
    assert text.rstrip().endswith("4 no difference seen")


def test_a_breakdown_is_shown_where_there_is_one(run):
    assert "unattributed" not in shown(lambda console: terminal.show(console, run))
    run.cells[0].breakdowns["envring"] = {"env": 1.5, "wall": 2.0, "batches": 1000}
    text = shown(lambda console: terminal.show(console, run))
    assert max(map(len, text.splitlines())) <= 80
    assert row(text[text.index("share of a step") :], "env ") == "env 75.0 %"
    run.cells *= 5
    text = shown(lambda console: terminal.show(console, run), width=140)
    assert row(text, "envs: RingVectorEnv").startswith(
        "CartPole-v1 x 64 envs: RingVectorEnv 2 ms 75.0 %"
    )
