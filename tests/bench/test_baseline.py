# SPDX-License-Identifier: MIT
"""Storing a baseline and comparing with it, with runs that are made up."""

import itertools
import json
import math
import signal

import pytest

import baseline
from envring.bench.measuring.stats import Interval
from support.ratios import Runs
from support.verdicts import Run

BASES = {"step": ("async", "bare"), "start": ("async",)}
THEN = {("step", "async"): 300.0, ("step", "bare"): 0.5, ("start", "async"): 4.0}


def made_up(medians, noise=0.005, outside=0.0):
    """Runs that scatter by turns around these medians."""
    for number in itertools.count():
        factor = math.exp(noise * (number % 3 - 1))
        ratios = {
            key: Runs((Interval(value * factor, value * factor * 0.99, value * factor * 1.01, 21),))
            for key, value in medians.items()
        }
        tests = {group: [f"id of {group}"] for group, _ in medians}
        yield Run(ratios, tests, outside)


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Calls the program; returns its exit status, and what pytest was asked to run."""
    before = signal.getsignal(signal.SIGTERM)

    def call(what, runs, *arguments):
        asked = []

        def run_pytest(tests, arguments):
            asked.append(list(tests))
            run = next(runs)
            wanted = {test.removeprefix("id of ") for test in tests} & BASES.keys() or BASES.keys()
            ratios = {key: each for key, each in run.ratios.items() if key[0] in wanted}
            return Run(ratios, run.tests, run.outside)

        monkeypatch.setattr(baseline, "run_pytest", run_pytest)
        status = baseline.main([what, "--file", str(tmp_path / "stored.json"), *arguments])
        return status, asked

    yield call
    signal.signal(signal.SIGTERM, before)


def test_nothing_has_changed(command, capsys):
    assert command("store", made_up(THEN)) == (0, [[str(baseline.HERE)]] * baseline.STORED_RUNS)
    status, asked = command("compare", made_up(THEN))
    shown = capsys.readouterr().out
    assert status == 0
    assert len(asked) == 1
    assert shown.count("no difference seen") == 3
    assert "clearly slower (by more than 5%): nothing" in shown


def test_a_loss_is_measured_again_and_fails(command, capsys):
    command("store", made_up(THEN))
    slower = THEN | {("step", "async"): 240.0, ("step", "bare"): 0.4}
    status, asked = command("compare", made_up(slower))
    assert status == 1
    assert asked == [[str(baseline.HERE)], ["id of step"], ["id of step"]]
    assert "clearly slower (by more than 5%): step\n" in capsys.readouterr().out


def test_a_loss_that_is_gone_when_measured_again_does_not_fail(command):
    command("store", made_up(THEN))
    slower = THEN | {("step", "async"): 240.0, ("step", "bare"): 0.4}
    runs = itertools.chain(itertools.islice(made_up(slower), 1), made_up(THEN))
    status, asked = command("compare", runs)
    assert status == 0
    assert len(asked) >= 2


def test_some_groups_are_stored_anew_and_others_stay(command, tmp_path):
    command("store", made_up(THEN))
    only = {("start", "async"): 9.0}
    command("store", made_up(only), "-k", "start", "--runs", "3")
    stored = json.loads((tmp_path / "stored.json").read_text())["ratios"]
    assert stored["step"]["bare"]["median"] == 0.5
    assert len(stored["step"]["bare"]["runs"]) == baseline.STORED_RUNS
    assert stored["start"]["async"]["median"] == 9.0
    assert len(stored["start"]["async"]["runs"]) == 3


def test_groups_that_came_and_went_are_named(command, capsys):
    command("store", made_up(THEN))
    now = {("step", "bare"): 0.5, ("infos", "async"): 100.0}
    assert command("compare", made_up(now))[0] == 0
    shown = capsys.readouterr().out
    assert "not in the baseline: infos\n" in shown
    assert "only in the baseline: start\n" in shown


def test_a_disturbed_machine_is_told(command, capsys):
    command("store", made_up(THEN, outside=0.6))
    assert "disturbed: up to 0.60 processors" in capsys.readouterr().out
    command("compare", made_up(THEN))
    assert "when the baseline was taken, up to 0.60 processors" in capsys.readouterr().out


def test_a_baseline_of_another_format_is_refused(command, tmp_path):
    (tmp_path / "stored.json").write_text('{"format": 99}')
    with pytest.raises(SystemExit, match="not a baseline of format 1"):
        command("compare", made_up(THEN))
