# SPDX-License-Identifier: MIT
"""All cells of a run in one table."""

import pytest

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import CellResult
from envring.bench.plan.cells import Cell
from envring.bench.reporting import summary


@pytest.fixture
def run(sample, hardware):
    """Ours at 100; Sync ahead, Async behind, one of no name about the same, and two no rivals."""
    speeds = {"envring": 100, "sync": 150, "async": 10, "bare": 900, "envring-pinned": 200}
    result = CellResult(Cell.of("null", 8, (*speeds, "stranger")), cores=2)
    for number in range(5):
        for peer, rate in speeds.items():
            result.samples.append(sample(peer, number, rate))
        result.samples.append(sample("stranger", number, 101 + (-1) ** number * 8))
    return Document(hardware, [result])


def test_peers_stand_in_the_order_of_tables_and_strangers_last(run):
    assert summary.peers(run) == [
        "envring",
        "envring-pinned",
        "async",
        "sync",
        "bare",
        "stranger",
    ]


def test_rivals_are_told_from_those_that_are_none(run):
    ((_, entries),) = summary.table(run, "async")
    standings = dict(zip(summary.peers(run), (each.standing for each in entries), strict=True))
    assert standings == {
        "envring": "own",
        "envring-pinned": "own",
        "async": "behind",
        "sync": "ahead",
        "bare": "apart",
        "stranger": "even",
    }
    assert entries[0].ratio.median == pytest.approx(10)


def test_a_loss_is_what_a_rival_is_ahead_in_for_sure(run):
    (loss,) = summary.losses(run)
    assert (loss.peer, loss.heading) == ("sync", "empty env x 8 envs")
    assert loss.ratio.median == pytest.approx(1.5)


def test_a_failed_peer_is_marked(run):
    run.cells[0].failures["async"] = "hung"
    ((_, entries),) = summary.table(run, "sync", ["async", "sync"])
    assert [each.failed for each in entries] == [True, False]


def test_the_best_rival_is_none_of_ours_and_steps_python(run):
    assert summary.best_rival(run.cells[0]) == "sync"
    run.cells[0].samples = [each for each in run.cells[0].samples if each.peer != "envring"]
    assert summary.best_rival(run.cells[0]) is None
