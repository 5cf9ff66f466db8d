# SPDX-License-Identifier: MIT
"""Two runs side by side."""

import dataclasses
import math

import numpy as np
import pytest

from envring.bench.measuring.results import Document
from envring.bench.measuring.samples import CellResult, Sample
from envring.bench.plan.cells import Cell, Contestant
from envring.bench.reporting import compare

PEERS = ("envring", "async", "bare")


def run(hardware, seed, faster=1.0, machine=1.0, rounds=9, peers=PEERS, bare=True):
    """A run on a drifting machine that as a whole is ``machine`` times as fast as another day."""
    random = np.random.default_rng(seed)
    peers = peers if bare else [each for each in peers if each != "bare"]
    result = CellResult(Cell.of("cartpole", 64, peers), cores=2)
    speeds = {"envring": 270e3 * faster, "async": 14e3, "bare": 165e3}
    for number in range(rounds):
        drift = machine * math.exp(0.3 * math.sin(number / 3 + seed))
        for peer in peers:
            steps = round(speeds[peer] * drift * math.exp(random.normal(0, 0.03)))
            result.samples.append(Sample(peer, number, steps, 0, 1, 1.0))
    return Document(hardware, [result])


def words(verdicts):
    return {each.peer: each.word for each in verdicts}


def test_a_machine_that_is_six_times_as_fast_makes_nobody_faster(hardware):
    verdicts = compare.compare(run(hardware, 1), run(hardware, 2, machine=6.0))
    assert words(verdicts) == {
        "envring": "no difference seen",
        "async": "no difference seen",
        "bare": "faster",
    }
    assert verdicts[0].basis == "of the bare loop"
    assert verdicts[2].basis == "env steps/s"
    assert "speed of the machine" in verdicts[2].note
    assert compare.worse(verdicts) == []


@pytest.mark.parametrize(("faster", "word"), [(1.3, "faster"), (0.7, "slower")])
def test_a_change_that_is_larger_than_the_noise_is_seen(hardware, faster, word):
    verdicts = compare.compare(run(hardware, 1), run(hardware, 2, faster=faster, machine=0.6))
    assert words(verdicts)["envring"] == word
    assert words(verdicts)["async"] == "no difference seen"
    assert verdicts[0].ratio.low < faster < verdicts[0].ratio.high
    assert [each.peer for each in compare.worse(verdicts)] == ["envring"] * (word == "slower")


def test_runs_of_the_same_are_hardly_ever_called_different(hardware):
    runs = [run(hardware, seed, machine=1 + seed % 3) for seed in range(60)]
    found = [words(compare.compare(*pair)) for pair in zip(runs[::2], runs[1::2], strict=True)]
    changed = [each[peer] != "no difference seen" for each in found for peer in PEERS[:2]]
    assert sum(changed) <= 3


def test_without_a_bare_loop_rates_are_compared_and_that_is_said(hardware):
    old, new = run(hardware, 1), run(hardware, 2, bare=False, faster=2.0)
    verdicts = compare.compare(old, new)
    assert verdicts[0].basis == "env steps/s"
    assert verdicts[0].old.median == pytest.approx(270e3, rel=0.4)
    assert any("no bare loop" in line for line in compare.warnings(old, new))
    assert compare.warnings(old, old) == []


def test_what_only_one_run_has_is_said(hardware):
    old, new = run(hardware, 1, peers=("envring", "bare")), run(hardware, 2)
    assert words(compare.compare(old, new))["async"] == "only in new"
    assert words(compare.compare(new, old))["async"] == "only in old"
    other = run(hardware, 3)
    other.cells[0].cell = Cell.of("null", 64, PEERS)
    verdicts = compare.compare(new, other)
    assert [each.word for each in verdicts] == ["only in new"] * 3 + ["only in old"] * 3
    assert [each.heading for each in verdicts[::3]] == [
        "empty env x 64 envs",
        "CartPole-v1 x 64 envs",
    ]


def test_cells_of_one_run_alone_are_summed_up(hardware):
    old, new = run(hardware, 1), run(hardware, 2, peers=("envring", "bare"))
    extra = run(hardware, 3).cells[0]
    extra.cell = Cell.of("null", 64, PEERS)
    new.cells.append(extra)
    both, alone = compare.split(compare.compare(old, new))
    assert [each.word for each in both] == ["no difference seen"] * 2 + ["only in old"]
    assert alone == ["only in new: empty env x 64 envs"]


def test_a_peer_that_failed_in_one_run_says_how(hardware):
    old, new = run(hardware, 1), run(hardware, 2)
    new.cells[0].samples = [each for each in new.cells[0].samples if each.peer != "async"]
    new.cells[0].failures["async"] = "hung in slice"
    verdict = next(each for each in compare.compare(old, new) if each.peer == "async")
    assert verdict.word == "only in old"
    assert verdict.note == "in the new run it hung in slice"
    old.cells[0].samples = [each for each in old.cells[0].samples if each.peer != "async"]
    assert "async" not in words(compare.compare(old, new))


def test_one_round_tells_nothing(hardware):
    verdicts = compare.compare(run(hardware, 1, rounds=1), run(hardware, 2, faster=3.0))
    assert words(verdicts)["envring"] == "no difference seen"
    assert verdicts[0].note == "only one round in the old run, so no change can be seen"


def test_options_that_changed_are_named(hardware):
    old, new = run(hardware, 1), run(hardware, 2)
    contestants = (
        Contestant("envring", "envring", {"pin": True}),
        *new.cells[0].cell.contestants[1:],
    )
    new.cells[0].cell = Cell("cartpole", 64, contestants)
    verdict = compare.compare(old, new)[0]
    assert verdict.note == "its options were {}, now {'pin': True}"


def test_other_machines_and_versions_are_warned_of(hardware):
    old, new = run(hardware, 1), run(hardware, 2)
    new.machine = {**hardware, "cpu": "Other CPU", "versions": {"python": "4", "envring": "9"}}
    assert compare.warnings(old, new) == [
        "processor: Test CPU, now Other CPU",
        "python: 3, now 4",
    ]


def test_a_run_that_was_not_alone_is_warned_of_and_less_sure(hardware):
    old, new = run(hardware, 1), run(hardware, 2, faster=1.3)
    assert words(compare.compare(old, new))["envring"] == "faster"
    samples = new.cells[0].samples
    samples[:] = [dataclasses.replace(each, outside=1.4) for each in samples]
    assert words(compare.compare(old, new))["envring"] == "no difference seen"
    assert compare.warnings(old, new) == [
        "the new run was disturbed in 1 of 1 cells: other programs held up to 1.40 cores"
    ]


def test_the_sum_says_what_chance_alone_brings(hardware):
    verdicts = compare.compare(run(hardware, 1), run(hardware, 2))
    assert compare.conclusion(verdicts[:2]) == "2 no difference seen"
    many = compare.conclusion(verdicts[:2] * 20)
    assert many == "40 no difference seen (chance alone makes up to 2 of 40 look like a change)"
    assert compare.conclusion([]) == "nothing to compare"
