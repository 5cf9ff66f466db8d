# SPDX-License-Identifier: MIT
"""Peers in their own processes take turns, whatever becomes of some of them."""

import json
import re
import time

import pytest

from envring.bench import peers
from envring.bench.measuring.runner import ask_alone, quietest, run_cell
from envring.bench.plan.cells import Cell, Contestant


def test_the_quietest_attempt_is_kept(sample):
    attempts = [sample("sync", 0, 1, outside=outside) for outside in (0.6, 0.2, 0.4)]
    assert quietest(attempts) == 1


@pytest.mark.parametrize(
    ("env", "failure"),
    [
        ("Raises", r"failed in slice: RuntimeError: \[red\]boom"),
        ("KillsTheCaller", r"crashed in slice \(SIGKILL\)"),
        ("Hangs", "hung in slice: no answer within"),
    ],
)
def test_the_rest_goes_on_without_a_failing_peer(envs, env, failure):
    cell = Cell.of(f"{envs}:{env}", 2, ("async", "bare"))
    turns = []
    found = run_cell(
        cell,
        cores=2,
        rounds=2,
        slice_seconds=0.05,
        deadline=time.monotonic() + 30,
        grace=6.0,  # this machine may be busy
        advanced=lambda: turns.append(1),
    )
    assert list(found.failures) == ["async"]
    assert re.match(failure, found.failures["async"])
    assert found.rate("async") is None
    assert found.rate("bare").count == 2
    assert len(turns) == 3


def test_a_peer_that_cannot_be_constructed_is_reported():
    cell = Cell.of("null", 2, ("async", "bare"), {"async": {"no_such_option": 1}})
    found = run_cell(cell, cores=2, rounds=1, slice_seconds=0.05, deadline=time.monotonic() + 30)
    assert "failed in construct: TypeError" in found.failures["async"]
    assert found.rate("bare").count == 1


def test_the_deadline_ends_the_rounds():
    cell = Cell.of("null", 2, ("bare",))
    found = run_cell(
        cell, cores=2, rounds=1000, slice_seconds=0.05, deadline=time.monotonic() + 0.1
    )
    assert found.failures == {}
    assert 1 <= found.rate("bare").count < 10


def test_a_peer_that_is_no_contestant_here_is_refused(monkeypatch):
    absent = peers.find("envpool")
    monkeypatch.setattr(peers, "installed", lambda adapter: None if adapter == absent else "1")
    cell = Cell.of("null", 2, ("bare", "bare-all", "envpool"), think=1e-5)
    found = run_cell(cell, cores=2, rounds=1, slice_seconds=0.05, deadline=time.monotonic() + 30)
    assert found.refusals["envpool"] == "not installed: pip install envpool"
    assert "no caller that could compute" in found.refusals["bare-all"]
    assert found.failures == {}
    assert found.of_ceiling("bare").count == 1


def test_a_contestant_brings_its_options_and_its_number_of_envs():
    cell = Cell(
        "null",
        2,
        (
            Contestant("few", "envring", {"num_workers": 1}),
            Contestant("many", "envring", {}, num_envs=6),
            Contestant("none", "sync"),
        ),
        num_workers=3,
    )
    found = run_cell(cell, cores=2, rounds=2, slice_seconds=0.05, deadline=time.monotonic() + 30)
    assert found.failures == found.refusals == {}
    processes = {label: each.processes for label, each in found.footprints.items()}
    assert processes == {"few": 2, "many": 4, "none": 1}
    for label, num_envs in (("few", 2), ("many", 6), ("none", 2)):
        first, _second = found.of(label)
        assert first.steps == num_envs * first.batches
        assert first.cpu > 0
        footprint = found.footprints[label]
        assert footprint.memory_bytes > 1e6
        assert footprint.construct_seconds > 0
        assert footprint.close_seconds > 0
    # every other round goes backwards
    turns = [(each.round, each.peer) for each in found.samples if each.kept]
    assert turns == [(0, "few"), (0, "many"), (0, "none"), (1, "none"), (1, "many"), (1, "few")]


def test_the_time_of_our_own_steps_is_broken_down():
    cell = Cell.of("null", 2, ("envring", "bare"))
    found = run_cell(
        cell,
        cores=2,
        rounds=1,
        slice_seconds=0.05,
        breakdown_seconds=0.05,
        deadline=time.monotonic() + 30,
    )
    assert found.failures == {}
    assert found.breakdowns.keys() == {"envring"}
    assert found.breakdowns["envring"]["batches"] > 0


def test_a_trace_is_written_by_a_peer_of_its_own(tmp_path):
    path = tmp_path / "trace.json"
    cell = Cell.of("null", 2, ("envring",))
    answer = ask_alone(cell, "envring", timeout=30, op="trace", path=str(path))
    assert answer["batches"] > 0
    assert json.loads(path.read_text())["traceEvents"]
