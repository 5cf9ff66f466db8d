# SPDX-License-Identifier: MIT
"""Results made up, and the envs of `bench_envs` for peers in their own processes."""

from pathlib import Path

import pytest

from envring.bench.measuring.samples import CellResult, Sample
from envring.bench.plan.cells import Cell


@pytest.fixture
def hardware():
    """A machine as `envring.bench.measuring.machine.describe` would describe it, with its load."""
    return {
        "cpu": "Test CPU",
        "cores_usable": 2,
        "cores_total": 4,
        "kernel": "Linux 0",
        "versions": {"python": "3"},
        "load_before": [0.0],
        "load_after": [0.5],
    }


@pytest.fixture
def envs(monkeypatch):
    """The name of `bench_envs`, importable here and in the peers' processes."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    return "bench_envs"


@pytest.fixture
def sample():
    """Makes a slice of one second out of a peer's label, a round and a rate."""

    def make(peer, number, rate, **more):
        return Sample(peer, number, steps=rate, resets=0, batches=1, seconds=1.0, **more)

    return make


@pytest.fixture
def result(sample):
    """Three rounds, ever faster: envring 30 times Async, twice Sync and 0.75 of the ceiling."""
    cell = Cell.of("cartpole", 64, ("envring", "async", "sync", "bare"))
    found = CellResult(cell, cores=2)
    for number, speed in enumerate((1, 2, 3)):
        for peer, rate in (("envring", 300), ("async", 10), ("sync", 150), ("bare", 200)):
            found.samples.append(sample(peer, number, 1000 * rate * speed))
    return found
