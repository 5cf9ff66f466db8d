# SPDX-License-Identifier: MIT
"""Batches on a time line: a file that https://ui.perfetto.dev and chrome://tracing open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envring.api.vector import RingVectorEnv
from envring.bench.measuring.breakdown import advance, cycle_actions, warm_up
from envring.bench.measuring.recorder import Batches, Recorder
from envring.bench.peers.base import SEED
from envring.bench.workloads import Workload

_CALLER = 0  # its track; worker w has w + 1
_WARM_UP = 0.2  # seconds
_LONGEST = 5.0  # seconds that a trace spans at most: fewer batches if they are long


def write_trace(path: str | Path, recorder: Recorder) -> int:
    """Writes the latest batches that were recorded as Chrome trace events.

    The caller's track shows what it did between steps and within them, each worker's when it
    stepped its envs and when it published; a worker's batch says how much of it was the envs' time.

    Args:
        path: The file to write.
        recorder: The recorder whose latest batches are written.

    Returns:
        How many batches were written.

    Raises:
        ValueError: Nothing was recorded.
        OSError: The file cannot be written.
    """
    batches = recorder.latest()
    if batches is None:
        raise ValueError("no batch was recorded: step within the recorder's `with` block")
    processes = recorder.envs.processes
    pids = [process.pid for process in processes]
    events = [*_tracks(pids), *_events(batches, bool(pids))]
    document = {"traceEvents": events, "displayTimeUnit": "ns"}
    Path(path).write_text(json.dumps(document), encoding="utf-8")
    return len(batches.called)


def measure_trace(
    workload: Workload,
    num_envs: int,
    options: Mapping[str, Any],
    path: str | Path,
    think: float = 0.0,
    batches: int = 200,
) -> int:
    """Steps a `RingVectorEnv` and writes a trace of its last batches.

    Args:
        workload: The workload whose envs are stepped.
        num_envs: How many of them.
        options: RingVectorEnv's keyword arguments.
        path: The file to write.
        think: Seconds of computing by the caller after each step.
        batches: How many to write at most; fewer if they would take more than 5 seconds.

    Returns:
        How many batches were written.
    """
    envs = RingVectorEnv([workload.make] * num_envs, **options)
    try:
        return trace_envs(envs, path, think, batches)
    finally:
        envs.close()


def trace_envs(
    envs: RingVectorEnv[Any, Any], path: str | Path, think: float = 0.0, batches: int = 200
) -> int:
    """The same for an existing vector environment, which is reset first."""
    actions = cycle_actions(envs)
    envs.reset(seed=SEED)
    each = warm_up(envs.step, actions, _WARM_UP, think)
    batches = max(1, min(batches, int(_LONGEST / each)))
    # Room for one more: a full recorder no longer knows when the last batch was published.
    recorder = Recorder(envs, capacity=batches + 1)
    with recorder:
        advance(recorder.step, actions, batches, think)
    return write_trace(path, recorder)


def _tracks(pids: list[int]) -> Iterator[dict[str, Any]]:
    names = ["caller", *(f"worker {number} (process {pid})" for number, pid in enumerate(pids))]
    yield {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": "envring"}}
    for track, name in enumerate(names):
        about = {"ph": "M", "pid": 0, "tid": track}
        yield {"name": "thread_name", **about, "args": {"name": name}}
        yield {"name": "thread_sort_index", **about, "args": {"sort_index": track}}


def _events(batches: Batches, has_workers: bool) -> Iterator[dict[str, Any]]:
    zero = int(batches.since[0])

    def event(track: int, name: str, begin: int, end: int, **about: Any) -> dict[str, Any]:
        return {
            "name": name,
            "ph": "X",
            "pid": 0,
            "tid": track,
            "ts": (int(begin) - zero) / 1e3,
            "dur": (int(end) - int(begin)) / 1e3,
            "args": about,
        }

    for i in range(len(batches.called)):
        since, called, returned = batches.since[i], batches.called[i], batches.returned[i]
        posted, complete = batches.posted[i], batches.complete[i]
        if called > since:
            yield event(_CALLER, "between steps", since, called)
        yield event(_CALLER, "step", called, returned, batch=i)
        yield event(_CALLER, "actions", batches.handed[i], posted)
        if not has_workers:
            yield event(_CALLER, "envs", posted, complete, env_us=int(batches.env[i, 0]) / 1e3)
        else:
            yield event(_CALLER, "ring", posted, batches.rung[i])
            yield event(_CALLER, "wait", batches.rung[i], complete)
            for worker, (began, ended) in enumerate(
                zip(batches.began[i], batches.ended[i], strict=True)
            ):
                env = int(batches.env[i, worker])
                about = {
                    "batch": i,
                    "env_us": env / 1e3,
                    "other_us": int(ended - began - env) / 1e3,
                }
                yield event(worker + 1, "envs", began, ended, **about)
                finished = batches.finished[i, worker]
                if finished >= ended:
                    yield event(worker + 1, "publish", ended, finished, batch=i)
        yield event(_CALLER, "results", complete, returned)
