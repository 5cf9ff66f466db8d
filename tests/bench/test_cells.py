# SPDX-License-Identifier: MIT
"""What a cell's samples say, and that they survive JSON."""

import pytest

from envring.bench import stats


def test_ratios_do_not_see_the_drift(result):
    assert result.ratio("envring", "async") == stats.Spread(30, 30, 30, 3)
    assert result.of_ceiling("envring").median == pytest.approx(0.75)
    assert result.rate("envring").median == 600_000


def test_a_replaced_slice_does_not_count(result, sample):
    result.samples.append(sample("envring", 0, 1.0, kept=False))
    assert result.rate("envring").count == 3
    assert len(result.as_json()["samples"]) == 13
