# SPDX-License-Identifier: MIT
"""The micro-benchmarks' machinery: sides by turns, ratios of runs, and what is called a loss."""

import contextlib
import functools
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from envring.bench.measuring.stats import Interval
from support import interleaved, verdicts
from support.ratios import Runs, by_round, of_run

ROOT = Path(__file__).resolve().parents[2]


def ratio(median, reach=0.02):
    return Interval(median, median * math.exp(-reach), median * math.exp(reach), 21)


def runs(*medians, reach=0.02):
    return Runs(tuple(ratio(each, reach) for each in medians))


def test_sides_take_turns_and_each_begins_as_often(monkeypatch):
    monkeypatch.setattr(interleaved.machine, "busy_seconds", lambda: None)
    order = []

    def side(name):
        def take(seconds):
            order.append(name)
            return seconds

        return functools.partial(contextlib.nullcontext, take)

    found = interleaved.measure({"a": side("a"), "b": side("b")}, rounds=4, seconds=0.25)

    assert "".join(order) == "ab" + "abba" * 2  # the first two are not counted
    assert found.seconds == {"a": [0.25] * 4, "b": [0.25] * 4}


def test_disturbed_rounds_are_taken_again(monkeypatch):
    clock = [0.0]
    times = iter([1.0, 9.0, 1.1, 9.1, 1.2, 1.3])  # of a slice; the first does not count
    busy = iter([0.0, 0.9, 0.9, 0.9, 0.9, 1.8, 1.8, 1.8, 1.8, 1.8])  # before and after each round
    monkeypatch.setattr(interleaved.machine, "busy_seconds", lambda: next(busy))
    monkeypatch.setattr(interleaved, "_own_cpu_seconds", lambda family: 0.0)
    monkeypatch.setattr(interleaved.time, "perf_counter", lambda: clock[0])

    def take(seconds):
        clock[0] += 1.0
        return next(times)

    side = functools.partial(contextlib.nullcontext, take)
    found = interleaved.measure({"a": side}, rounds=3, seconds=1.0)

    assert found.seconds == {"a": [1.1, 1.2, 1.3]}
    assert found.outside == 0.0


def test_a_machine_that_is_always_busy_gets_its_rounds(monkeypatch):
    busy = itertools.count(0.0, 1.0)
    monkeypatch.setattr(interleaved.machine, "busy_seconds", lambda: next(busy))
    side = functools.partial(contextlib.nullcontext, lambda seconds: seconds)
    found = interleaved.measure({"a": side}, rounds=3, seconds=0.25)
    assert found.seconds == {"a": [0.25] * 3}
    assert found.outside > 1.0


def test_every_side_is_closed_when_one_fails():
    closed = []

    @contextlib.contextmanager
    def good():
        yield lambda seconds: seconds
        closed.append("never")

    @contextlib.contextmanager
    def closing():
        try:
            yield lambda seconds: seconds
        finally:
            closed.append("closed")

    def fail(seconds):
        raise ZeroDivisionError

    bad = functools.partial(contextlib.nullcontext, fail)
    with pytest.raises(ZeroDivisionError):
        interleaved.measure({"a": closing, "b": good, "c": bad}, rounds=2, seconds=0.1)
    assert closed == ["closed"]


def test_a_repeated_operation_is_timed_by_the_call():
    calls = []
    seconds = interleaved.repeated(lambda: calls.append(1))(0.01)
    assert 0 < seconds < 0.01
    assert len(calls) > 2


def test_a_ratio_says_how_many_times_as_fast_the_first_side_is():
    found = by_round({"ours": [1.0, 2.0], "slow": [3.0, 6.0], "fast": [0.5, 1.0]})
    assert found == {"slow": [3.0, 3.0], "fast": [0.5, 0.5]}


@pytest.mark.parametrize(("count", "low", "high"), [(5, 1, 5), (6, 1, 6), (9, 2, 8), (21, 6, 16)])
def test_the_interval_of_a_run_is_that_of_the_ranks(count, low, high):
    ranks = list(range(1, count + 1))
    found = of_run(ranks[1::2] + ranks[::2])
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.median == (count + 1) / 2


def test_some_disturbed_rounds_do_not_widen_it():
    quiet = [1.0 + 0.001 * number for number in range(17)]
    found = of_run([*quiet, 9.0, 0.1, 50.0, 0.01])
    assert found.high / found.low < 1.02


def test_a_run_beside_another_program_is_less_sure():
    def report(outside):
        info = {"sides": ["ours", "bare"], "outside": outside, "cores": 2}
        data = {"ours": [1.0, 1.01] * 8, "bare": [2.0] * 16}
        return {
            "benchmarks": [
                {
                    "group": "step",
                    "fullname": side,
                    "extra_info": {**info, "side": side},
                    "stats": {"data": seconds},
                }
                for side, seconds in data.items()
            ]
        }

    alone, beside = (verdicts.read_run(report(held)) for held in (0.0, 1.0))
    assert beside.outside == 1.0
    assert alone.tests == {"step": ["ours", "bare"]}
    ((_, sure),), ((_, unsure),) = alone.ratios.items(), beside.ratios.items()
    assert sure.overall.high / sure.overall.low < 1.1
    assert unsure.overall.high / unsure.overall.low > 1.5


def test_an_interval_holds_what_runs_differ_by():
    quiet, restless = runs(10.0, 10.1, 9.9), runs(10.0, 14.0, 7.0)
    assert quiet.overall.median == restless.overall.median == 10.0
    assert quiet.overall.high / quiet.overall.low < 1.1
    assert restless.overall.high / restless.overall.low > 2.0


def test_runs_that_agree_by_chance_are_not_surer_than_their_rounds():
    alike = runs(10.0, 10.0, 10.0, reach=0.1).overall
    assert alike.high / alike.low > 1.1


def test_repeated_runs_of_the_same_show_no_difference_in_most_cases():
    random, seen = np.random.default_rng(3), 0
    for _ in range(400):
        medians = np.exp(random.normal(0.0, 0.1, 6))
        seen += (
            verdicts.Verdict(
                "g", "b", ratio(1), ratio(1), runs(*medians[5:]).over(runs(*medians[:5]))
            ).text
            != "no difference seen"
        )
    assert seen / 400 < 0.08  # 0.05 is promised


@pytest.mark.parametrize(
    ("now", "text", "lost"),
    [
        ((10.1, 9.9), "no difference seen", False),
        ((9.6, 9.5), "slower", False),  # but by less than what stops anybody
        ((8.0, 8.1), "slower", True),
        ((12.0, 12.1), "faster", False),
    ],
)
def test_verdicts(now, text, lost):
    then = {("step", "bare"): runs(10.0, 10.05, 9.95, 10.0, 10.0, reach=0.01)}
    (verdict,) = verdicts.compare(then, {("step", "bare"): runs(*now, reach=0.01)})
    assert (verdict.text, verdict.lost) == (text, lost)


def test_a_side_that_became_faster_is_not_our_loss():
    then = {("step", "async"): runs(100.0, 101.0, 99.0), ("step", "bare"): runs(0.5, 0.5, 0.5)}
    now = {
        ("step", "async"): runs(80.0, 81.0, reach=0.05),
        ("step", "bare"): runs(0.5, 0.5, reach=0.01),
    }
    found = {each.base: each for each in verdicts.compare(then, now)}
    assert found["async"].text == "slower"
    assert not found["async"].lost
    assert found["bare"].decides


def test_a_baseline_is_read_as_it_was_written():
    found = {("step", "async"): runs(10.0, 11.0), ("step", "bare"): runs(0.5)}
    assert verdicts.from_json(json.loads(json.dumps(verdicts.as_json(found)))) == {
        key: Runs(
            tuple(
                Interval(*(float(f"{x:.4g}") for x in (run.median, run.low, run.high)), run.count)
                for run in each.each
            )
        )
        for key, each in found.items()
    }


def test_machines_of_one_class_have_the_same_processor_and_cores():
    one = {"kernel": "Linux 6.1 x86_64", "cpu": "AMD EPYC 9R14", "cores_usable": 2}
    assert verdicts.machine_class(one) == "x86_64-amd-epyc-9r14-2-cores"
    assert verdicts.machine_class(one | {"cores_usable": 4}) != verdicts.machine_class(one)
    assert verdicts.machine_class(one | {"kernel": "Linux 6.9 x86_64"}) == (
        verdicts.machine_class(one)
    )


def test_groups_are_measured_and_reported(tmp_path):
    report = tmp_path / "report.json"
    some = "(test_step and null-8) or (round_trip and asleep-same) or (throughput and 256)"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "benchmarks"]
    command += ["-k", f"{some} or (loads and ints)", "--rounds=3", "--slice=0.005"]
    # a run of its own: beside a test process of xdist nothing is measured
    environ = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        [*command, f"--benchmark-json={report}"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = verdicts.read_run(json.loads(report.read_text()))
    assert set(run.ratios) == {
        ("step, null x 8", "async"),
        ("step, null x 8", "bare"),
        ("round trip, asleep, same CPU", "pipe"),
        ("records, 256 KiB", "pipe"),
        ("loads, 3 ints", "marshal"),
        ("loads, 3 ints", "pickle"),
    }
    assert all(0 < ratio.overall.median < math.inf for ratio in run.ratios.values())
    assert {len(run.tests[group]) for group, _ in run.ratios} == {2, 3}
    assert "step, null x 8: envring against async" in ran.stdout


def test_no_baseline_for_this_machine_is_told(tmp_path):
    command = [sys.executable, "benchmarks/baseline.py", "compare"]
    ran = subprocess.run(
        [*command, "--file", tmp_path / "none.json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 2
    assert "baseline.py store" in ran.stderr
