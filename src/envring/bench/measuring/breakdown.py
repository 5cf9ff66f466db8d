# SPDX-License-Identifier: MIT
"""Where the time of a step goes: envs, copying, signalling, waiting, the caller.

Workers and caller record when they did what. This module puts the moments of each batch on one time
line, so that its parts add up to the time it took, and compares the sum with a separate clock.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from envring.api.vector import RingVectorEnv
from envring.bench.measuring.recorder import PARTS, Recorder
from envring.bench.peers.base import SEED, draw_actions
from envring.bench.workloads import Workload

_BLOCK = 0.02  # seconds of a block of recorded, or of unrecorded, steps

__all__ = ["PARTS", "Breakdown", "Recorder", "measure_breakdown", "measure_envs"]


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """Seconds of the recorded batches, divided along the critical path.

    Workers that run at the same time count by their mean; what the last one needs beyond that is
    `imbalance`. A step that autoreset spends on a reset counts as a step.

    Attributes:
        env: Inside the envs' `step` and `reset`, in wall time: with the time in which the system
            ran something else, and with the clock readings around each call. A reset includes
            storing its results.
        copying: Workers store results; the caller writes actions to shared memory and hands arrays
            out.
        signalling: Ringing: from when the commands are posted until all workers are rung or run,
            and publishing and ringing back after the last result was stored.
        waiting: Until a process that was rung runs.
        imbalance: From the mean end of the workers to the last one's.
        caller: The caller's Python: the rest of a step, infos, and all between two steps, such as
            the policy.
        recording: The recording itself, between two steps.
        wall: Seconds of the recorded batches by a separate clock.
        batches: How many batches were recorded.
        slowdown: By which fraction recording made steps longer (0.05: by 5 %) than the unrecorded
            ones in between; None if there were none.
    """

    env: float
    copying: float
    signalling: float
    waiting: float
    imbalance: float
    caller: float
    recording: float
    wall: float
    batches: int
    slowdown: float | None = None

    @property
    def unattributed(self) -> float:
        """Seconds of the wall time that no part accounts for; negative if they add up to more."""
        return self.wall - self.recording - sum(self.parts().values())

    def parts(self) -> dict[str, float]:
        """Seconds by part, in the order of PARTS."""
        return {name: getattr(self, name) for name in PARTS}

    def as_json(self) -> dict[str, Any]:
        """The fields and `unattributed`, for a JSON file."""
        return {**asdict(self), "unattributed": self.unattributed}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Breakdown:
        """Restore what `as_json` wrote."""
        return cls(**{name: value for name, value in fields.items() if name != "unattributed"})


def break_down(recorder: Recorder, wall: float, slowdown: float | None = None) -> Breakdown:
    """The breakdown of what a recorder has recorded.

    Args:
        recorder: The recorder.
        wall: Seconds of the same batches by a separate clock.
        slowdown: As Breakdown's.

    Raises:
        ValueError: No batch was recorded, or a worker did not measure how long its envs took.
    """
    return Breakdown(
        **recorder.parts(),
        recording=recorder.recording,
        wall=wall,
        batches=recorder.batches,
        slowdown=slowdown,
    )


def measure_breakdown(
    workload: Workload,
    num_envs: int,
    options: Mapping[str, Any],
    seconds: float,
    think: float = 0.0,
) -> Breakdown:
    """Where the time of a step of `RingVectorEnv` goes.

    Args:
        workload: The workload whose envs are stepped.
        num_envs: How many of them.
        options: RingVectorEnv's keyword arguments.
        seconds: How long to step, after construction. Half of it is recorded.
        think: Seconds of computing by the caller after each step.

    Raises:
        ValueError: The workers do not measure how long their envs take: `step_loop="reference"`, or
            an interpreter that cannot run the compiled step loop.
    """
    envs = RingVectorEnv([workload.make] * num_envs, **options)
    try:
        return measure_envs(envs, seconds, think)
    finally:
        envs.close()


def measure_envs(envs: RingVectorEnv[Any, Any], seconds: float, think: float = 0.0) -> Breakdown:
    """The same for an existing vector environment, which is reset first."""
    recorder = Recorder(envs)
    actions = cycle_actions(envs)
    envs.reset(seed=SEED)
    until = time.perf_counter() + seconds
    each = warm_up(envs.step, actions, seconds / 10, think)
    batches = max(1, int(_BLOCK / each))
    wall = 0.0
    ratios = []
    for turn in itertools.count():
        if turn >= 2 and time.perf_counter() >= until:
            break
        took = {}
        for recorded in (False, True) if turn % 2 else (True, False):
            if recorded:
                with recorder:
                    took[True] = advance(recorder.step, actions, batches, think)
                wall += took[True]
            else:
                took[False] = advance(envs.step, actions, batches, think)
        ratios.append(took[True] / took[False])
    return break_down(recorder, wall, median(ratios) - 1)


def cycle_actions(envs: RingVectorEnv[Any, Any]) -> Iterator[Any]:
    """The actions that every peer gets, over and over."""
    return itertools.cycle(draw_actions(envs.single_action_space, envs.num_envs))


def advance(
    step: Callable[[Any], Any], actions: Iterator[Any], batches: int, think: float = 0.0
) -> float:
    """Steps, and computes for `think` seconds after each step; returns how long it took.

    The latest results are kept until the next are there, as a caller would.
    """
    clock = time.perf_counter
    start = clock()
    for action in itertools.islice(actions, batches):
        _results = step(action)
        if think:
            until = clock() + think
            while clock() < until:
                pass
    return clock() - start


def warm_up(
    step: Callable[[Any], Any], actions: Iterator[Any], seconds: float, think: float
) -> float:
    """Steps for about `seconds`; returns seconds per batch."""
    spent, batches = 0.0, 0
    while spent < seconds or not batches:
        spent += advance(step, actions, 1, think)
        batches += 1
    return spent / batches
