# SPDX-License-Identifier: MIT
"""The model of a step with many workers, in `benchmarks/scaling.py`."""

import pytest

import scaling

COSTS = scaling.Costs(
    start=3, post=0.5, wake=2, latency=20, serve=5, line=0.5, env=1, take=4, report=0.25
)


@pytest.mark.parametrize("count", [1, 5, 128])
@pytest.mark.parametrize("name", scaling.SCHEMES)
def test_each_worker_is_woken_once(name, count):
    woken = [worker for each in scaling.SCHEMES[name](count) for worker in each]
    assert sorted(woken) == list(range(count))


def test_one_worker_with_a_core_of_its_own():
    step = scaling.simulate(COSTS, 1, 3, 10)
    assert step.start == 3 + 0.5 + 2
    assert step.done == step.start + 20 + 5 + 10
    assert step.whole == step.done + 2 + 20 + 4 + 0.25


def test_workers_of_the_callers_core_run_in_its_place():
    step = scaling.simulate(COSTS, 4, 1, 10)
    assert step.start == step.done == 3 + 4 * (0.5 + 2) + 4 * (5 + 10)
    assert step.whole == step.done + 4 + 4 * 0.25


def test_workers_of_another_core_take_turns():
    costs = scaling.Costs(latency=20, serve=5)
    assert scaling.simulate(costs, 3, 2, 0).done == 20 + 2 * 5


def test_the_counter_is_for_one_at_a_time():
    costs = scaling.Costs(latency=20, serve=5, line=2)
    assert scaling.simulate(costs, 8, 9, 0).done == 20 + 5 + 7 * 2


def test_a_tree_spares_the_caller():
    alone = scaling.simulate(COSTS, 128, 129, 0)
    tree = scaling.simulate(COSTS, 128, 129, 0, scaling.tree(128, 4))
    assert tree.start == 3 + 128 * 0.5 + 4 * 2
    assert tree.done < alone.done
