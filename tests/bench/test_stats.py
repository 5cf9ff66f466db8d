# SPDX-License-Identifier: MIT
"""Medians and their intervals: what they promise is tried on made-up rounds that drift."""

import math

import numpy as np
import pytest

from envring.bench.measuring import stats

RUNS = 400
TRUTH = 30.0


def test_spread_is_median_and_quartiles():
    assert stats.spread([5, 1, 4, 2, 3]) == stats.Spread(3, 2, 4, 5)
    assert stats.spread([7.0]) == stats.Spread(7.0, 7.0, 7.0, 1)
    assert stats.spread([]) is None


def test_ratios_pair_the_rounds_that_both_have():
    assert stats.paired_ratios({0: 8.0, 1: 6.0, 2: 5.0}, {0: 4.0, 2: 1.0, 3: 1.0}) == [2.0, 5.0]


def test_ratios_leave_out_a_round_without_a_step():
    assert stats.paired_ratios({0: 8.0, 1: 6.0}, {0: 0.0, 1: 2.0}) == [3.0]


def independent(random, count):
    """Rounds of one speed, each a little off."""
    return random.normal(0.0, 0.04, count)


def disturbed(random, count):
    """The same, and every seventh round much slower."""
    slower = random.random(count) < 1 / 7
    return independent(random, count) - slower * random.exponential(0.5, count)


def alike(random, count, likeness=0.7):
    """Rounds that resemble their neighbours, as on a machine whose speed drifts."""
    found, state = [], random.normal(0.0, 0.04)
    for _ in range(count):
        found.append(state)
        state = likeness * state + math.sqrt(1 - likeness**2) * random.normal(0.0, 0.04)
    return np.array(found)


def moved(random, count):
    """Rounds of a run that as a whole is 1.5 % off, as its addresses and processes made it."""
    return independent(random, count) + random.normal(0.0, 0.015)


def intervals(kind, count):
    random = np.random.default_rng([len(kind.__name__), count])
    found = [stats.interval(TRUTH * np.exp(kind(random, count))) for _ in range(RUNS)]
    return [each for each in found if each is not None]


@pytest.mark.parametrize("count", [3, 5, 9, 15])
@pytest.mark.parametrize("kind", [independent, disturbed, alike, moved])
def test_the_intervals_of_two_runs_overlap_in_nine_of_ten_repeats(kind, count):
    runs = intervals(kind, count)
    overlaps = [a.overlaps(b) for a, b in zip(runs[::2], runs[1::2], strict=True)]
    assert np.mean(overlaps) >= 0.9


@pytest.mark.parametrize("count", [3, 5, 9, 15, 30])
def test_an_interval_holds_the_truth_in_95_of_100_runs_and_is_no_wider_than_it_must(count):
    runs = intervals(independent, count)
    assert np.mean([each.low <= TRUTH <= each.high for each in runs]) >= 0.945
    # what the textbook gives for independent normal values and a median
    ideal = math.hypot(stats.student(count - 1) * 1.2533 * 0.04 / math.sqrt(count), stats.UNSEEN)
    assert np.median([math.log(each.high / each.median) for each in runs]) < 1.35 * ideal


def test_rounds_that_resemble_their_neighbours_say_less():
    values = [30, 29, 31, 28, 30.5, 29.5, 31.5, 28.5, 30]
    shuffled, sorted_ = stats.interval(values), stats.interval(sorted(values))
    assert sorted_.median == shuffled.median == pytest.approx(30)
    assert sorted_.high - sorted_.low > 1.5 * (shuffled.high - shuffled.low)


def test_one_disturbed_round_moves_an_interval_little():
    calm = stats.interval([30, 31, 29, 30.5, 29.5, 30.2, 29.8, 30.1, 30])
    shaken = stats.interval([30, 31, 29, 30.5, 29.5, 30.2, 29.8, 12.0, 30])
    assert shaken.median == pytest.approx(calm.median, rel=0.01)
    assert shaken.high < 1.25 * shaken.median


def test_nothing_and_one_value():
    assert stats.interval([]) is None
    assert stats.interval([5.0]) == stats.Interval(5.0, 0.0, math.inf, 1)
    assert stats.interval([-1.0]) == stats.Interval(-1.0, -math.inf, math.inf, 1)


def test_equal_rounds_leave_what_no_run_can_see():
    found = stats.interval([30.0] * 5)
    assert math.log(found.high / 30) == pytest.approx(stats.UNSEEN)
    exact = stats.interval([30.0] * 5, unseen=0.0)
    assert exact.low == exact.high == pytest.approx(30)


def test_values_that_are_not_positive_get_a_plain_interval():
    found = stats.interval([-2.0, 1.0, 0.0])
    assert found.median == 0.0
    assert found.low == -found.high
    assert found.high > 2.0


def test_the_quotient_of_two_runs_is_less_sure_than_either():
    old, new = stats.Interval(10, 9, 11, 9), stats.Interval(20, 19, 21, 7)
    found = new.over(old)
    assert (found.median, found.count) == (2.0, 7)
    assert 19 / 11 < found.low < 2 * 0.9
    assert 2 * 1.1 < found.high < 21 / 9


def test_the_quotient_with_a_single_round_says_nothing():
    found = stats.Interval(10, 9, 11, 9).over(stats.Interval(5, 0.0, math.inf, 1))
    assert (found.low, found.high) == (0.0, math.inf)


def test_a_run_beside_others_is_less_sure():
    assert stats.allowance(None, 2) == stats.allowance(0.0, 2) == stats.UNSEEN
    assert stats.allowance(1.0, 2) == pytest.approx(0.25, rel=0.01)
    assert stats.allowance(1.0, 64) < 1.3 * stats.UNSEEN
