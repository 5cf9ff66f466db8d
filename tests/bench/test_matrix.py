# SPDX-License-Identifier: MIT
"""Matrices name only what there is."""

import itertools

import pytest

from envring.bench import peers
from envring.bench.plan import matrix


@pytest.fixture
def everything(monkeypatch):
    """Every peer and every workload counts as installed."""
    monkeypatch.setattr(peers, "installed", lambda adapter: "1.0")
    monkeypatch.setattr(matrix, "_is_here", lambda workload: True)


def keys(found):
    return [each.cell.key for each in found.cells]


@pytest.mark.parametrize("name", matrix.MATRICES)
def test_a_matrix_has_no_cell_twice(name, everything):
    found = matrix.named(name)
    assert len(set(keys(found))) == len(found.cells) > 0


def test_the_full_matrix_has_every_peer(everything):
    cells = matrix.named("full").cells
    assert {peer for each in cells for peer in each.cell.peers} == peers.adapters().keys()


def test_the_shares_of_the_full_matrix_fit_its_time(everything):
    found = matrix.named("full")
    assert sum(each.share for each in found.cells) <= found.seconds <= 1700


def test_each_cell_has_its_baselines():
    for each in itertools.chain(*(matrix.named(name).cells for name in matrix.MATRICES)):
        assert {"envring", "async", "sync", "bare"} <= set(each.cell.peers)


def test_a_matrix_leaves_out_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(peers, "installed", lambda adapter: None if adapter.package else "1.0")
    monkeypatch.setattr(matrix, "_is_here", lambda workload: workload != "image")
    found = matrix.named("quick")
    assert {peer for each in found.cells for peer in each.cell.peers} == set(matrix.PEERS)
    assert {each.cell.workload for each in found.cells} == {"cartpole", "null"}


def test_an_unknown_matrix_is_refused():
    with pytest.raises(ValueError, match="no matrix 'huge'; use one of default, quick, full"):
        matrix.named("huge")


def test_a_grid_is_every_combination():
    found = matrix.grid(
        ["null"], [1, 2], ("sync",), num_workers=[None, 3], think=[0.0, 0.5], busy=[1, 2]
    )
    assert [each.cell.key for each in found] == [
        ("null", *rest) for rest in itertools.product((1, 2), (None, 3), (0.0, 0.5), (1, 2))
    ]


def test_peers_that_take_long_to_start_get_more_time():
    (few,), (many,) = (matrix.grid(["null"], [count], ("async",)) for count in (2, 200))
    assert many.share > 2 * few.share
    (torch,) = matrix.grid(["null"], [2], ("sb3-dummy",))
    assert torch.share > matrix.grid(["null"], [2], ("sync",))[0].share


def test_only_keeps_the_peers_that_are_named():
    cells = matrix.grid(["null", "image"], [2], ("sync", "bare"))
    kept = matrix.only([*cells, *matrix.grid(["null"], [3], ("async",))], ("bare",))
    assert [each.cell.peers for each in kept] == [("bare",), ("bare",)]
