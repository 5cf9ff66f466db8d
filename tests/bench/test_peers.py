# SPDX-License-Identifier: MIT
"""The peers count their steps and not their resets, and get the same actions."""

import gymnasium
import pytest

from envring.bench import peers, workloads


@pytest.mark.parametrize("name", ["sync", "bare"])
def test_counted_steps_are_the_steps_the_envs_saw(envs, name):
    workload = workloads.find(f"{envs}:Counting")
    peer = peers.build(name, workload, 7, {})
    try:
        for batches in (1, 10, 57):
            before = workload.make.steps_taken
            peer.advance(batches)
            resets = peer.take_resets()
            assert batches * 7 - resets == workload.make.steps_taken - before
            assert (resets > 0) == (name == "sync" and batches > 1)
    finally:
        peer.close()


def test_a_slice_leaves_out_its_warm_up(envs):
    workload = workloads.find(f"{envs}:Counting")
    peer = peers.build("bare", workload, 3, {})
    before = workload.make.steps_taken
    measured = peers.measure_slice(peer, 0.02)
    assert 0 < measured["steps"] < workload.make.steps_taken - before
    assert measured["steps"] == measured["batches"] * 3
    assert measured["seconds"] >= 0.02


def test_every_peer_gets_the_same_actions():
    first, second = (peers.draw_actions(gymnasium.spaces.Discrete(5), 3) for _ in range(2))
    assert [list(each) for each in first] == [list(each) for each in second]
    assert len({tuple(each) for each in first}) > 1
