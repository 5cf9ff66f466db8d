# SPDX-License-Identifier: MIT
"""Where the time of a step goes: the arithmetic, what recording leaves behind, and the sum."""

import json
import sys
import time
from functools import partial

import gymnasium
import numpy as np
import pytest

from envring import EnvSource, Prefix, RingVectorEnv
from envring.bench import workloads
from envring.bench.measuring import breakdown
from envring.bench.measuring.breakdown import PARTS, Breakdown, measure_breakdown
from envring.bench.measuring.recorder import Batches, Recorder
from envring.testing import CountingEnv, FailingEnv

ZEROS = np.zeros(3, np.int64)


def batches(**changed):
    """One batch of two workers, in ns from a large number on."""
    at = 10**15
    moments = {
        "since": at,
        "called": at + 100,
        "handed": at + 110,
        "posted": at + 130,
        "rung": at + 180,
        "complete": at + 1100,
        "returned": at + 1150,
        "began": [at + 230, at + 250],
        "ended": [at + 830, at + 1030],
        "finished": [at + 840, at + 1060],
        "copied": 15,
        "env": [500, 600],
    } | changed
    return Batches(**{name: np.array([value], np.int64) for name, value in moments.items()})


def parts(**changed):
    """The parts of such a batch in ns; they always add up to the time that it took."""
    given = batches(**changed)
    found = {name: round(seconds * 1e9) for name, seconds in given.parts().items()}
    assert sum(found.values()) == (given.returned - given.since)[0]
    return found


# -- arithmetic ------------------------------------------------------------------------------------


def test_a_batch_is_divided_along_its_critical_path():
    assert parts() == {
        "env": 550,
        "copying": (690 - 550) + 20 + 15,
        "signalling": 50 + 30,  # to the workers, and by the last one back
        "waiting": 60 + 40,
        "imbalance": 100,
        "caller": 110 + 35,
    }


def test_workers_that_run_before_all_are_rung_for_are_not_waited_for():
    at = 10**15
    found = parts(began=[at + 140, at + 160])
    assert found["signalling"] == 20 + 30
    assert found["waiting"] == 40


def test_workers_that_began_before_anybody_was_rung_for():
    at = 10**15
    found = parts(began=[at + 120, at + 130])
    assert found["signalling"] == 30
    assert found["waiting"] == 40


def test_a_ring_that_outlasts_the_wait_is_signalling_until_the_caller_runs():
    found = parts(finished=[10**15 + 840, 10**15 + 1200])
    assert found["signalling"] == 50 + 70
    assert found["waiting"] == 60


def test_a_ring_nobody_knows_of_counts_as_waiting():
    found = parts(finished=[0, 0])
    assert found["signalling"] == 50
    assert found["waiting"] == 60 + 70


def test_what_is_not_attributed_is_told():
    known = dict.fromkeys(PARTS, 1.0)
    told = Breakdown(**known, recording=0.5, wall=8.0, batches=3, slowdown=0.1)
    assert told.unattributed == 1.5
    assert told.parts() == known
    stored = json.loads(json.dumps(told.as_json()))
    assert stored["unattributed"] == 1.5
    assert Breakdown.from_json(stored) == told


# -- recording -------------------------------------------------------------------------------------


@pytest.fixture(params=[0, 2], ids=["in process", "two workers"])
def envs(request):
    envs = RingVectorEnv([CountingEnv] * 3, num_workers=request.param)
    envs.reset()
    yield envs
    envs.close()


def test_the_parts_add_up_to_the_time_between_steps(envs):
    recorder = Recorder(envs)
    with recorder:
        for _ in range(100):
            recorder.step(ZEROS)
    latest = recorder.latest()
    spans = int((latest.returned - latest.since).sum())
    recording = int((latest.since[1:] - latest.returned[:-1]).sum())
    assert sum(latest.parts().values()) * 1e9 == pytest.approx(spans, abs=1)
    assert sum(recorder.parts().values()) * 1e9 > spans  # until the block was left
    assert recorder.batches == 100
    assert recorder.recording * 1e9 >= recording > 0
    order = ("since", "called", "handed", "posted", "rung", "complete", "returned")
    moments = np.stack([getattr(latest, name) for name in order])
    assert (np.diff(moments, axis=0) >= 0).all()
    assert (latest.env > 0).all()
    assert (latest.env < latest.ended - latest.began).all()
    assert (latest.ended <= latest.complete[:, None]).all()
    if envs.num_workers:
        assert (latest.finished > latest.ended).all()


def test_steps_of_this_process_wait_for_nobody():
    found = measure_breakdown(workloads.find("cartpole"), 2, {"num_workers": 0}, 0.1)
    assert found.signalling == found.waiting == found.imbalance == 0.0
    assert min(found.env, found.copying, found.caller) > 0


def test_recorded_steps_return_what_steps_return(envs):
    with Recorder(envs) as recorder:
        recorded = [recorder.step(ZEROS) for _ in range(9)]
    envs.reset()
    plain = [envs.step(ZEROS) for _ in range(9)]
    for (*arrays, infos), (*others, other_infos) in zip(recorded, plain, strict=True):
        for array, other in zip(arrays[1:], others[1:], strict=True):
            np.testing.assert_array_equal(array, other)
        assert infos.keys() == other_infos.keys()


def test_recording_leaves_no_trace_in_the_envs(envs):
    batcher = envs._batcher
    before = set(vars(batcher))
    recorder = Recorder(envs)
    with recorder:
        recorder.step(ZEROS)
        assert batcher.segment.core.timed
        assert batcher.observer is recorder
    assert set(vars(batcher)) == before
    assert not batcher.segment.core.timed
    assert batcher.observer is None
    envs.step(ZEROS)
    assert recorder.batches == len(recorder.latest().called) == 1


def test_more_batches_than_are_kept(envs):
    few, many = Recorder(envs, capacity=4), Recorder(envs)
    with few:
        for _ in range(10):
            few.step(ZEROS)
    with many:
        for _ in range(10):
            many.step(ZEROS)
    assert len(few.latest().called) == 4
    assert len(many.latest().called) == 10
    assert (np.diff(few.latest().called) > 0).all()
    assert few.batches == many.batches == 10
    assert few.parts().keys() == many.parts().keys()
    assert few.batches == many.batches == 10


def test_a_pause_between_two_recordings_counts_for_nobody(envs):
    recorder = Recorder(envs)
    with recorder:
        recorder.step(ZEROS)
    pause = -time.monotonic()
    envs.step(ZEROS)
    time.sleep(0.1)  # beside which the parts of two steps are nothing, however busy the machine
    pause += time.monotonic()
    with recorder:
        recorder.step(ZEROS)
    latest = recorder.latest()
    assert latest.since[1] - latest.returned[0] > pause * 1e9
    assert latest.since[1] == latest.called[1]
    whole = (latest.returned[1] - latest.since[0]) * 1e-9
    # a part that comes out negative counts as nothing, so their sum may exceed the steps' time
    assert sum(recorder.parts().values()) < whole - pause / 2


def test_a_step_that_raises_is_not_recorded():
    envs = RingVectorEnv(
        [lambda: FailingEnv(partial(ValueError, "fault"), at=2)] + [CountingEnv] * 2, num_workers=2
    )
    try:
        envs.reset()
        recorder = Recorder(envs)
        with recorder:
            recorder.step(ZEROS)
            recorder.step(ZEROS)
            with pytest.warns(UserWarning, match="ERROR"), pytest.raises(ValueError, match="fault"):
                recorder.step(ZEROS)
        recorder.parts()
        assert recorder.batches == 2
    finally:
        envs.close()


def test_an_interpreter_of_another_prefix_is_timed_too():
    sources = [EnvSource("CartPole-v1")] * 2
    envs = RingVectorEnv(sources, num_workers=1, launcher=Prefix(sys.prefix))
    try:
        envs.reset()
        with Recorder(envs) as recorder:
            for _ in range(100):
                recorder.step(np.zeros(2, np.int64))
        latest = recorder.latest()
        assert (latest.env > 0).all()
        assert (latest.finished > latest.ended).all()
        assert recorder.parts()["env"] > 0
    finally:
        envs.close()


def test_what_cannot_be_recorded_is_refused():
    envs = RingVectorEnv([CountingEnv] * 3, num_workers=0, step_loop="reference")
    with pytest.raises(ValueError, match="reference"):
        Recorder(envs)
    envs.close()
    envs = RingVectorEnv([CountingEnv] * 3, num_workers=0)
    recorder = Recorder(envs)
    with pytest.raises(ValueError, match="no batch"):
        recorder.parts()
    envs.close()
    with pytest.raises(ValueError, match="closed"):
        Recorder(envs)


def test_a_worker_that_takes_no_times_is_named(envs):
    recorder = Recorder(envs)
    with recorder:
        recorder.step(ZEROS)
    recorder._rows[:, 4] = 0  # as where Python steps the envs
    with pytest.raises(ValueError, match="worker 0 steps its envs in plain Python"):
        recorder.parts()


# -- measuring -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"num_workers": 2}, {"num_workers": 0}])
@pytest.mark.parametrize("think", [0.0, 1e-4])
def test_the_parts_account_for_a_wall_clock_of_its_own(options, think):
    found = None
    for _ in range(5):  # the machine may take the processor away between two clocks
        found = measure_breakdown(workloads.find("cartpole"), 8, options, 0.2, think)
        if abs(found.unattributed) < 0.05 * found.wall:
            break
    assert abs(found.unattributed) < 0.05 * found.wall
    assert found.batches >= 2
    assert found.env > 0
    assert found.caller >= think * found.batches
    assert found.slowdown > -1


def test_envs_that_are_there_are_measured_in_place():
    envs = RingVectorEnv([CountingEnv] * 3, num_workers=1)
    try:
        assert breakdown.measure_envs(envs, 0.05).batches >= 2
        assert not envs._batcher.segment.core.timed
    finally:
        envs.close()


def test_envs_of_several_launchers_are_refused():
    """Their workers share no segment, so a batch has no moments of its own."""
    fns = [
        lambda: gymnasium.make("CartPole-v1"),
        EnvSource("CartPole-v1", launcher=Prefix(sys.prefix)),
    ]
    envs = RingVectorEnv(fns, num_workers=2)
    try:
        envs.reset(seed=1)
        with pytest.raises(ValueError, match="several launchers"):
            Recorder(envs)
    finally:
        envs.close()
