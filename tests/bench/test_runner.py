# SPDX-License-Identifier: MIT
"""Peers in their own processes take turns, whatever becomes of some of them."""

import re
import time

import pytest

from envring.bench.cells import Cell
from envring.bench.runner import quietest, run_cell


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
    cell = Cell.of(f"{envs}:{env}", 2, ("async", "sync", "bare"))
    turns = []
    found = run_cell(
        cell,
        cores=2,
        rounds=2,
        slice_seconds=0.05,
        deadline=time.monotonic() + 30,
        grace=2.0,
        advanced=lambda: turns.append(1),
    )
    assert list(found.failures) == ["async"]
    assert re.match(failure, found.failures["async"])
    assert found.rate("async") is None
    assert found.rate("sync").count == found.rate("bare").count == 2
    assert len(turns) == 5


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
