# SPDX-License-Identifier: MIT
"""The search for settings, on made-up speeds."""

import math

import numpy as np
import pytest

from envring.bench.measuring.samples import CellResult, Sample
from envring.bench.plan.cells import Cell
from envring.bench.tuning import settings
from envring.bench.tuning.search import NothingMeasured, Search, count_passes
from envring.bench.tuning.settings import DEFAULTS, Settings

CORES = 2


class Machine:
    """Measures nothing: the speed of each candidate is given, and drifts from round to round."""

    def __init__(self, speed, *, busy=1.0, bare=1000.0, noise=0.01, voluntary=0):
        self.speed = speed
        self.busy = busy
        self.bare = bare
        self.noise = noise
        self.voluntary = voluntary
        self.random = np.random.default_rng(0)
        self.cells = []

    def __call__(self, cell, seconds):
        self.cells.append((cell, seconds))
        result = CellResult(cell, CORES)
        for number in range(12):
            drift = 1 + 0.3 * math.sin(len(self.cells) + number / 3)
            for each in cell.contestants:
                rate = self.bare
                if each.peer != "bare":
                    rate = self.speed(each.num_envs or cell.num_envs, each.options)
                if rate is None:
                    result.failures[each.label] = "crashed"
                    continue
                rate *= drift * math.exp(self.random.normal(0, self.noise))
                result.samples.append(
                    Sample(
                        each.label,
                        number,
                        steps=round(1000 * rate),
                        resets=0,
                        batches=1,
                        seconds=1000.0,
                        cpu=1e3 * self.busy,
                        voluntary=self.voluntary,
                        involuntary=100,
                    )
                )
        return result


def search(machine, num_envs=64, think=0.0):
    return Search("cartpole", num_envs, think=think, cores=CORES, measure=machine).run(60)


def computing(num_envs, options):
    """As envs that compute: two workers on two cores, pinned ones a bit better."""
    workers = options.get("num_workers", CORES)
    if workers == 0:
        return 950
    speed = {1: 900, 2: 1700}.get(workers, 1500) * num_envs / (num_envs + 4)
    return speed * (1.08 if options.get("pin") else 1) * (0.8 if options.get("spin") == 0 else 1)


def sleeping(num_envs, options):
    workers = options.get("num_workers", CORES)
    return 1000 * max(1, min(workers, num_envs)) ** 0.95


def test_pinned_workers_are_found():
    found = search(Machine(computing))
    assert found.settings == Settings(pin=True)
    assert found.code() == "envring.make_vec('CartPole-v1', num_envs=64, pin=True)"
    assert 1.0 < found.lead.low < 1.08 < found.lead.high
    assert found.ahead.low <= found.ahead.median <= found.ahead.high
    assert 0.5 < found.in_process.median < 0.6
    assert found.of_ceiling == pytest.approx(1.08 * 1700 * 64 / 68 / 2000, rel=0.02)


def test_the_defaults_stay_where_nothing_is_surely_faster():
    found = search(Machine(lambda num_envs, options: 1000.0, noise=0.05))
    assert found.settings == DEFAULTS
    assert found.lead is None
    assert found.code() == "envring.make_vec('CartPole-v1', num_envs=64)"


def test_sleeping_envs_get_a_worker_each():
    found = search(Machine(sleeping, busy=0.1, voluntary=1000))
    assert found.sleeps
    assert found.settings == Settings(num_workers=64)
    assert found.lead.low > 10


def test_envs_whose_processor_is_taken_away_do_not_sleep():
    assert not search(Machine(computing, busy=0.4)).sleeps


def test_two_options_are_not_taken_where_one_does():
    def speed(num_envs, options):
        return 1000 * (1.3 if options.get("pin") else 1) * (1.001 if options.get("spin") else 1)

    assert search(Machine(speed)).settings == Settings(pin=True)


def test_what_is_hardly_faster_but_plainer_is_taken():
    def speed(num_envs, options):
        many = 1.4 if options.get("num_workers") == 4 else 1
        return 1000 * many * (1.01 if options.get("pin") else 1)

    assert search(Machine(speed)).settings == Settings(num_workers=4)


def test_doubt_keeps_the_defaults_not_what_is_doubtful():
    """A plainer candidate that does not surely beat the defaults is none, either."""
    speeds = {"defaults": 1000, "num_workers=4": 1300, "num_workers=4, pin=True": 2000}
    result = CellResult(Cell("null", 8, ()), CORES)
    for number in range(9):
        for label, rate in speeds.items():
            factor = 3 ** ((-1) ** number) if label == "num_workers=4" else 1
            result.samples.append(
                Sample(label, number, round(rate * factor), resets=0, batches=1, seconds=1.0)
            )
    plain, best = Settings(4), Settings(4, pin=True)
    assert settings.choose(result, [DEFAULTS, plain, best]) == best
    assert settings.choose(result, [DEFAULTS, plain]) == DEFAULTS


def test_the_size_is_the_smallest_that_larger_ones_hardly_beat():
    found = search(Machine(computing, bare=1e5, noise=0.0), num_envs=None)
    assert found.num_envs == 64
    assert [each.num_envs for each in found.tried if each.part == "size"] == list(settings.SIZES)


def test_sizes_whose_batch_takes_long_are_not_tried():
    machine = Machine(computing, bare=200.0)
    assert search(machine, num_envs=None).num_envs == 16
    sizes = [each.num_envs for each in machine.cells[1][0].contestants]
    assert sizes == [8, 16]


def test_the_time_is_shared_out_and_what_is_not_needed_goes_to_the_rest():
    machine = Machine(computing)
    search(machine, num_envs=None)
    # Nothing took any time here: each part got its share of nearly everything.
    parts = [seconds for _, seconds in machine.cells]
    assert parts[0] == pytest.approx(0.05 * 60, rel=0.05)
    assert parts[1] == pytest.approx(60 * 0.15 / 0.95, rel=0.05)
    assert parts[-1] == pytest.approx(60, rel=0.05)


def test_two_numbers_of_workers_need_no_contest_of_their_own():
    found = search(Machine(computing), num_envs=2)
    assert {each.part for each in found.tried} == {"waiting", "final"}


@pytest.mark.parametrize(
    ("candidates", "start_seconds", "passes"),
    [(1, 0.3, 1), (5, 0.3, 1), (10, 0.3, 2), (20, 0.3, 2), (20, 0.1, 3), (10, 2.0, 1)],
)
def test_candidates_that_are_slow_to_start_are_started_less_often(
    candidates, start_seconds, passes
):
    assert count_passes(candidates, 24.0, start_seconds) == passes


def test_the_callers_thinking_is_in_every_cell_but_the_probe():
    machine = Machine(computing)
    search(machine, think=0.001)
    assert {cell.think for cell, _ in machine.cells[1:]} == {0.001}


def test_a_candidate_that_crashes_is_told_and_left():
    def speed(num_envs, options):
        return None if options.get("pin") else computing(num_envs, options)

    found = search(Machine(speed))
    assert found.settings == DEFAULTS
    assert "crashed" in {each.failure for each in found.tried if "pin" in each.label}


def test_another_candidate_is_taken_where_the_defaults_crash():
    def speed(num_envs, options):
        return 900 if options.get("num_workers") == 1 else None

    found = search(Machine(speed))
    assert found.settings.num_workers == 1
    assert found.lead is None


def test_an_env_that_always_fails_is_reported():
    machine = Machine(computing)
    machine.bare = None
    with pytest.raises(NothingMeasured, match="crashed"):
        search(machine)


@pytest.mark.parametrize(
    ("num_envs", "sleeps", "numbers"),
    [
        (64, False, [1, 2, 4]),
        (64, True, [1, 2, 4, 8, 16, 32, 64]),
        (3, False, [1, 2]),
        (1, True, [1]),
        (1000, True, [1, 2, 4, 8, 16, 32, 64, 128, 256]),
    ],
)
def test_numbers_of_workers_are_never_above_the_envs(num_envs, sleeps, numbers):
    assert settings.worker_counts(num_envs, CORES, sleeps) == numbers


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        (Settings(), "defaults"),
        (Settings(0), "num_workers=0"),
        (Settings(4, 0.0, True), "num_workers=4, spin=0.0, pin=True"),
    ],
)
def test_a_label_is_what_one_writes(settings, label):
    assert settings.label == label


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (
            "envring.testing:CountingEnv",
            "from envring.testing import CountingEnv\nenvring.RingVectorEnv([CountingEnv] * 8)",
        ),
        ("spin100", "envring.RingVectorEnv([make_env] * 8)"),
        ("cartpole", "envring.make_vec('CartPole-v1', num_envs=8)"),
        ("Acrobot-v1", "envring.make_vec('Acrobot-v1', num_envs=8)"),
    ],
)
def test_the_line_to_paste_suits_the_target(target, code):
    assert settings.Outcome(target, 8, 0.0).code() == code
