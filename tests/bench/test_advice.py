# SPDX-License-Identifier: MIT
"""What `envring tune` says of what it found."""

import io

import pytest
from rich.console import Console

from envring.bench.measuring.stats import Interval
from envring.bench.tuning import advice
from envring.bench.tuning.settings import Outcome, Settings, Tried

FOUR = Settings(num_workers=4)


def tried(label, part="final", *, rate=1000.0, failure=None):
    found = None if rate is None else Interval(rate, 0.9 * rate, 1.1 * rate, 9)
    return Tried(part, label, 8, found, Interval(1.2, 1.1, 1.3, 9), failure)


def text(**fields):
    return "\n".join(advice.sentences(Outcome("null", 8, 0.0, **fields)))


def test_a_lead_is_told_with_its_interval():
    found = text(settings=FOUR, lead=Interval(1.2, 1.1, 1.3, 9))
    assert found == "1.2x as fast as the defaults (95 %: 1.10 to 1.30)"


def test_the_defaults_are_kept_where_nothing_is_seen():
    assert text(runner_up=FOUR, ahead=Interval(1.01, 0.98, 1.04, 9)).splitlines() == [
        "no difference seen: keep the defaults",
        "1.01x as fast as the runner-up, num_workers=4 (95 %: 0.980 to 1.04; no difference seen)",
    ]


@pytest.mark.parametrize(("low", "told"), [(1.1, True), (0.9, False)])
def test_in_process_is_a_hint_only_where_it_is_faster(low, told):
    found = text(in_process=Interval(1.2, low, 1.3, 9))
    assert ("hint: num_workers=0 is 1.2x as fast" in found) == told


def test_what_gave_no_figure_is_counted():
    found = text(tried=[tried("a"), tried("b", rate=None, failure="hung"), tried("a", "workers")])
    assert "1 of 2 candidates could not be measured" in found


def test_all_that_was_tried_fits_80_columns():
    console = Console(file=io.StringIO(), width=80, color_system=None)
    long = Settings(num_workers=16, spin=0.001, pin=True)
    outcome = Outcome("CartPole-v1", 8, 0.0, settings=long, lead=Interval(1.2, 1.1, 1.3, 9))
    outcome.tried = [tried(long.label), tried("x", rate=None, failure="failed: [red]boom")]
    advice.show(console, outcome)
    lines = console.file.getvalue().splitlines()
    code = "envring.make_vec('CartPole-v1', num_envs=8, num_workers=16, spin=0.001, pin=True)"
    assert code in lines
    assert all(len(line) <= 80 for line in lines if line != code)
    assert "x: failed: [red]boom" in lines
    (row,) = (line for line in lines if line.strip().startswith(long.label))
    assert row.split()[-6:] == ["1", "k", "1.2x", "1.10", "to", "1.30"]
