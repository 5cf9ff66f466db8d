# SPDX-License-Identifier: MIT
"""The page of results takes in what a run found, and keeps what people wrote."""

import pytest

import page
from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import CellResult, Sample
from envring.bench.plan.cells import Cell


@pytest.fixture
def found():
    cell = CellResult(Cell.of("cartpole", 8, ("envring", "async")), 2)
    for number in range(3):
        for peer, steps in (("envring", 9000 + number), ("async", 1000)):
            cell.samples.append(Sample(peer, number, steps, 0, steps // 8, 1.0))
    machine = {
        "cpu": "a processor",
        "cores_usable": 2,
        "cores_total": 2,
        "kernel": "Linux 6.1 x86_64",
        "versions": {"python": "3.11.7", "envring": "0.1.0"},
        "load_before": [0.1, 0.1, 0.1],
        "load_after": [0.1, 0.1, 0.1],
    }
    return Document(machine, [cell], argv=["envring", "bench"])


def test_tables_take_the_place_of_older_ones(found):
    once = page.filled(page.TABLES.read_text(), found, "picture.png")
    assert "9x" in once or "9.0" in once
    assert "](picture.png)" in once
    assert "a processor" in once
    assert once.endswith(page.TABLES.read_text().split("<!-- /measured -->")[1])
    assert page.filled(once, found, "picture.png") == once


def test_the_summary_has_one_table_of_few_cells(found):
    once = page.summarised(page.PAGE.read_text(), found)
    assert "| CartPole-v1 x 8 envs | 9" in once
    assert once.endswith(page.PAGE.read_text().split("<!-- /measured -->")[1])
    found.cells.append(CellResult(Cell.of("info5", 8, ("envring", "async")), 2))
    assert page.summarised(once, found) == once


@pytest.mark.parametrize("text", ["", "<!-- measured -->\n", "<!-- /measured -->"])
def test_a_page_without_a_place_is_refused(found, text):
    with pytest.raises(ValueError, match="measured"):
        page.filled(text, found, "picture.png")
    with pytest.raises(ValueError, match="measured"):
        page.summarised(text, found)


def test_the_picture_leaves_out_what_would_make_it_long(found):
    cell = found.cells[0]
    thinking = CellResult(Cell.of("cartpole", 8, ("envring", "sync"), think=0.1), 2)
    other = CellResult(Cell.of("info5", 8, ("envring", "bare-all")), 2)
    wide = CellResult(Cell.of("null", 8, ("envring", "bare-all")), 2)
    found.cells += [thinking, other, wide]
    left = page.pictured(found).cells
    assert [each.cell.workload for each in left] == ["cartpole", "null"]
    assert left[1].cell.peers == ("envring",)
    assert left[0].samples == cell.samples
    found.cells = [other]
    assert page.pictured(found).cells == [other], "a run of something else is drawn as it is"
