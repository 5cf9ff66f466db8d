# SPDX-License-Identifier: MIT
"""The time line that Perfetto opens."""

import itertools
import json

import numpy as np
import pytest

from envring import RingVectorEnv
from envring.bench import workloads
from envring.bench.measuring.recorder import Recorder
from envring.bench.measuring.trace import measure_trace, write_trace
from envring.testing import CountingEnv


def read(path):
    """Names of the tracks by number, and the spans of each track in order."""
    document = json.loads(path.read_text())
    events = document["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    spans = {track: [] for track in names}
    for event in events:
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["ts"] >= 0
            spans[event["tid"]].append(event)
    return names, spans


def test_each_process_has_a_track_and_each_batch_a_span(tmp_path):
    path = tmp_path / "trace.json"
    workload = workloads.find("cartpole")
    assert measure_trace(workload, 4, {"num_workers": 2}, path, think=1e-5, batches=20) == 20
    names, spans = read(path)
    assert names[0] == "caller"
    assert [name.split(" (")[0] for name in names.values()] == ["caller", "worker 0", "worker 1"]
    for track in (1, 2):
        kinds = [span["name"] for span in spans[track]]
        assert kinds == ["envs", "publish"] * 20
        for span in spans[track]:
            if span["name"] == "envs":
                total = span["args"]["env_us"] + span["args"]["other_us"]
                assert total == pytest.approx(span["dur"], abs=0.01)
        for before, after in itertools.pairwise(spans[track]):
            assert before["ts"] + before["dur"] <= after["ts"] + 0.01
    kinds = [span["name"] for span in spans[0]]
    assert kinds[:5] == ["step", "actions", "ring", "wait", "results"]
    assert kinds[5:] == ["between steps", *kinds[:5]] * 19
    for span in spans[0]:
        if span["name"] == "step":
            step = span
        elif span["name"] != "between steps":
            assert step["ts"] <= span["ts"]
            assert span["ts"] + span["dur"] <= step["ts"] + step["dur"] + 0.01


def test_envs_of_this_process_are_on_the_callers_track(tmp_path):
    path = tmp_path / "trace.json"
    assert measure_trace(workloads.find("null"), 2, {"num_workers": 0}, path, batches=5) == 5
    names, spans = read(path)
    assert list(names.values()) == ["caller"]
    kinds = [span["name"] for span in spans[0]]
    assert kinds[:4] == ["step", "actions", "envs", "results"]


def test_only_the_latest_batches_are_written(tmp_path):
    envs = RingVectorEnv([CountingEnv] * 2, num_workers=1)
    try:
        envs.reset()
        recorder = Recorder(envs, capacity=8)
        with pytest.raises(ValueError, match="no batch"):
            write_trace(tmp_path / "trace.json", recorder)
        with recorder:
            for _ in range(30):
                recorder.step(np.zeros(2, np.int64))
        assert write_trace(tmp_path / "trace.json", recorder) == 8
        _, spans = read(tmp_path / "trace.json")
        assert spans[0][0]["name"] == "between steps"
        assert len([span for span in spans[1] if span["name"] == "envs"]) == 8
    finally:
        envs.close()
