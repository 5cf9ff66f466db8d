# SPDX-License-Identifier: MIT
"""The picture of a run."""

import copy

import pytest
from matplotlib.image import imread

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import Latency, Sample
from envring.bench.plan.cells import Cell
from envring.bench.reporting import plot


def height(path, document):
    plot.draw(path, document)
    found = imread(path)
    # something was drawn, and not everywhere
    assert 0.002 < (found[..., :3] < 0.9).any(axis=-1).mean() < 0.5
    return found.shape[0]


@pytest.mark.parametrize("lost", [(), ("async",), ("envring", "async", "sync", "bare")])
def test_the_picture_is_drawn_whoever_failed(result, hardware, tmp_path, lost):
    result.samples = [each for each in result.samples if each.peer not in lost]
    result.failures |= dict.fromkeys(lost, "hung")
    assert height(tmp_path / "found.png", Document(hardware, [result, result])) > 300


def test_latencies_and_breakdowns_get_sections_of_their_own(result, hardware, tmp_path):
    bare = height(tmp_path / "bare.png", Document(hardware, [result]))
    timed = copy.deepcopy(result)
    timed.samples = [
        Sample(each.peer, each.round, each.steps, 0, 1, 1.0, latency=Latency(1e-4, 2e-4, 1e-3, 1))
        for each in timed.samples
    ]
    with_latency = height(tmp_path / "timed.png", Document(hardware, [timed]))
    timed.breakdowns["envring"] = {"env": 0.7, "waiting": 0.3, "wall": 1.0, "batches": 100}
    whole = height(tmp_path / "whole.png", Document(hardware, [timed]))
    assert bare + 100 < with_latency < whole - 100


def test_several_numbers_of_envs_share_a_panel(result, hardware, tmp_path):
    cells = []
    for count in (2, 8, 64, 256):
        each = copy.deepcopy(result)
        each.cell = Cell.of("cartpole", count, result.cell.peers)
        cells.append(each)
    together = height(tmp_path / "found.png", Document(hardware, cells))
    for index, each in enumerate(cells):
        each.cell = Cell.of("cartpole", 64, result.cell.peers, num_workers=index + 1)
    assert together < height(tmp_path / "apart.png", Document(hardware, cells)) - 100


def test_a_run_without_cells_is_no_error(hardware, tmp_path):
    plot.draw(tmp_path / "found.png", Document(hardware, []))
    assert (tmp_path / "found.png").stat().st_size > 0


def test_the_ending_tells_the_format(result, hardware, tmp_path):
    plot.draw(tmp_path / "found.svg", Document(hardware, [result]))
    assert "<svg" in (tmp_path / "found.svg").read_text()
