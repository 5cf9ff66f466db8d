# SPDX-License-Identifier: MIT
"""The tables of a run in Markdown."""

import copy

import pytest

from envring.bench.measuring.results import Document
from envring.bench.plan.cells import Cell
from envring.bench.reporting import compare, markdown


@pytest.fixture
def run(result, hardware):
    return Document(
        hardware,
        [result],
        absent={"sb3-dummy": "pip install stable-baselines3"},
        argv=["envring", "bench", "--peers", "a b"],
        when="2026-01-01T00:00:00+00:00",
    )


def rows(text):
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_a_cell_is_a_table_whose_rows_have_as_many_cells_as_its_head(run):
    found = rows(markdown.cell(run.cells[0]))
    assert found[0] == ["peer", "env steps/s", "x Async", "95 %", "x Sync", "of ceiling"]
    assert {len(row) for row in found} == {6}
    assert found[2][0] == "**RingVectorEnv**"
    assert found[2][1:] == ["600 k", "30x", "29.4 to 30.6", "2x", "0.75"]


def test_a_run_of_one_cell_has_no_overview(run):
    text = markdown.document(run)
    assert text.startswith("### CartPole-v1 x 64 envs\n")
    assert "pip install stable-baselines3" in text
    assert "Repeat with `envring bench --peers 'a b'`." in text
    assert text.endswith("\n")


def test_a_big_run_begins_with_an_overview_and_folds_the_rest(run):
    run.cells = [copy.deepcopy(run.cells[0]) for _ in range(4)]
    for count, each in zip((2, 8, 64, 256), run.cells, strict=True):
        each.cell = Cell.of("null", count, each.cell.peers)
    text = markdown.document(run)
    table = rows(text)
    assert table[0] == ["", "env steps/s", "of ceiling", "Ring", "Async", "Sync", "bare"]
    assert table[2] == ["empty env x 2 envs", "600 k", "0.75", "30x", "1x", "15x", "*20x*"]
    assert "In none of these cells is another peer that steps Python envs clearly faster." in text
    assert text.index("<details>") < text.index("### empty env") < text.index("</details>")


def test_losses_are_bold_and_listed(run, sample):
    run.cells[0].samples = [
        sample(peer, number, rate)
        for number in range(5)
        for peer, rate in (("envring", 100), ("async", 10), ("sync", 150))
    ]
    assert rows(markdown.overview(run))[2] == [
        "CartPole-v1 x 64 envs",
        "100",
        "-",
        "10x",
        "1x",
        "**15x**",
    ]
    assert markdown.losses(run).splitlines()[-1] == (
        "- CartPole-v1 x 64 envs: `sync` is 1.5x as fast (95 %: 1.47 to 1.53)"
    )


def test_a_failed_peer_is_called_so(run):
    result = run.cells[0]
    result.failures["sync"] = "hung in close"
    assert rows(markdown.overview(run))[2][3:6] == ["30x", "1x", "15x †"]
    result.samples = [each for each in result.samples if each.peer != "sync"]
    assert rows(markdown.overview(run, peers=["envring", "sync"]))[2][3:] == ["30x", "failed"]


def test_signs_that_markdown_reads_are_kept_as_text(run):
    run.cells[0].failures["async"] = "failed in slice: KeyError: '*[a|b]*'\nagain"
    text = markdown.cell(run.cells[0])
    assert r"- AsyncVectorEnv: failed in slice: KeyError: '\*\[a\|b\]\*' again" in text


def test_a_comparison_names_the_cell_in_each_row(run):
    text = markdown.comparison(compare.compare(run, run), ["another machine"])
    table = rows(text)
    assert table[0] == ["cell", "peer", "old", "new", "new / old", "95 %", "verdict"]
    assert table[2][:5] == ["CartPole-v1 x 64 envs", "RingVectorEnv", "1.50", "1.50", "1x"]
    assert {row[-1] for row in table[2:]} == {"no difference seen"}
    assert text.startswith("- Warning: another machine\n")
    assert text.endswith("4 no difference seen.\n")


def test_a_breakdown_has_a_table_of_its_own(run):
    run.cells[0].breakdowns["envring"] = {"env": 1.5, "wall": 2.0, "batches": 1000}
    found = rows(markdown.document(run))
    (place,) = [i for i, each in enumerate(found) if each[0] == "where the time of a step goes"]
    assert found[place + 2][:3] == ["CartPole-v1 x 64 envs: RingVectorEnv", "2 ms", "75.0 %"]
    assert len({len(each) for each in found[place:]}) == 1
