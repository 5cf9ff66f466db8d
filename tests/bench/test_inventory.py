# SPDX-License-Identifier: MIT
"""What is installed is named with its version, what is not with what would add it."""

import pytest

from envring.bench import peers, workloads
from envring.bench.measuring import inventory


@pytest.fixture
def nothing_installed(monkeypatch):
    """No peer and no workload has the package that it needs."""
    monkeypatch.setattr(peers, "installed", lambda adapter: None if adapter.package else "1.0")
    find_spec = workloads.base.importlib.util.find_spec
    needed = {each.needs for each in workloads.WORKLOADS.values()}
    monkeypatch.setattr(
        workloads.base.importlib.util,
        "find_spec",
        lambda name, package=None: None if name in needed else find_spec(name, package),
    )


def test_absent_peers_and_workloads_have_their_pip_lines(nothing_installed):
    found = inventory.absent()
    assert found["torchrl"].startswith("pip install torchrl")
    assert "ale-py" in found["pong"]
    assert not found.keys() & {"envring", "async", "sync", "bare", "bare-all", "null", "cartpole"}


def test_versions_are_those_of_all_that_is_installed(monkeypatch):
    monkeypatch.setattr(peers, "installed", lambda adapter: "9.8.7")
    found = inventory.describe()["versions"]
    assert {"python", "envring", "gymnasium", "numpy"} <= found.keys()
    assert found["envpool"] == "9.8.7"
    monkeypatch.setattr(peers, "installed", lambda adapter: None)
    assert "envpool" not in inventory.versions()
