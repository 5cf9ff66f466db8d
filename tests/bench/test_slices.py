# SPDX-License-Identifier: MIT
"""One slice of a peer: what is timed, how often the clock is read, what a thinking caller costs."""

import os

import pytest

from envring.bench import peers, workloads
from envring.bench.measuring import machine, slices


class Clockwork:
    """A peer whose batches take next to no time; counts them."""

    num_envs = 3
    construct_seconds = 0.0

    def __init__(self):
        self.calls, self.untaken = [], 0

    def advance(self, batches):
        self.calls.append(batches)
        for _ in range(batches):
            self.untaken += 1

    def take_resets(self):
        taken, self.untaken = self.untaken, 0
        return taken

    def close(self):
        pass


def test_a_slice_leaves_out_its_warm_up(envs):
    workload = workloads.find(f"{envs}:Counting")
    peer = peers.build("bare", workload, 3, {})
    before = workload.make.steps_taken
    measured = slices.measure_slice(peer, 0.02)
    assert 0 < measured["steps"] < workload.make.steps_taken - before
    assert measured["steps"] == measured["batches"] * 3
    assert measured["seconds"] >= 0.02


def test_resets_of_the_warm_up_are_not_those_of_the_slice():
    peer = Clockwork()
    measured = slices.measure_slice(peer, 0.01)
    assert measured["resets"] == measured["batches"] < sum(peer.calls)
    assert measured["steps"] == 2 * measured["batches"]


def test_short_batches_share_a_look_at_the_clock():
    measured = slices.measure_slice(Clockwork(), 0.01)
    assert measured["latency"]["batches"] > 1
    assert measured["batches"] % measured["latency"]["batches"] == 0


def test_a_peer_whose_calls_are_costly_is_not_asked_often():
    peer = Clockwork()
    peer.chunk_seconds = 0.01
    measured = slices.measure_slice(peer, 0.02)
    assert measured["latency"] is None
    assert max(peer.calls) > 1000


def test_a_slice_tells_what_was_used():
    measured = slices.measure_slice(Clockwork(), 0.05)
    assert 0 < measured["cpu"] < 1
    assert measured["voluntary"] >= 0
    assert measured["involuntary"] >= 0


def test_latency_is_of_single_batches():
    found = slices.latency(10.0, [10.0 + 2 * each for each in range(1, 101)] + [320.0], 2)
    assert found.p50 == found.p90 == found.p99 == pytest.approx(1.0)
    assert found.longest == pytest.approx(55.0)
    assert found.batches == 2


def test_a_thinking_caller_thinks_after_each_batch():
    peer = Clockwork()
    used = machine.cpu_seconds([os.getpid()])
    slices.thinking(peer.advance, 0.002)(5)
    assert peer.calls == [1] * 5
    assert machine.cpu_seconds([os.getpid()]) - used >= 0.01
