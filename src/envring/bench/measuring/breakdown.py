# SPDX-License-Identifier: MIT
"""Where the time of a step goes: in the envs, in copying, in waking each other, in waiting.

Workers and caller say when they did what; this module puts the moments of each batch on one line,
so that its parts add up to the time it took, and compares the sum with a clock of its own.
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

_BLOCK = 0.02  # seconds between two changes from recorded to not recorded

__all__ = ["PARTS", "Breakdown", "Recorder", "measure_breakdown", "measure_envs"]


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """Seconds of the recorded batches, by what they went into along the critical path.

    Where workers run at the same time, what counts is their mean; what the last one needs beyond
    that is `imbalance`. A step that an env's autoreset spends on a reset is a step like any other.

    Attributes:
        env: Inside the envs' `step` and `reset`, by the wall clock: with what the system took
            the processor away for, and with the reading of the clock before and after each call. A
            reset counts with the storing of what it returned.
        copying: Workers storing results, the caller putting actions where workers find them and
            handing arrays out.
        signalling: Ringing: from the moment the commands lie there until all are rung or the
            workers run, and publishing and ringing back after the last result was stored.
        waiting: Until a process that was rung for runs.
        imbalance: From the mean end of the workers to the last one's.
        caller: The caller's Python: of a step beyond the copying, infos, and all between two
            steps: the policy.
        recording: What the recording itself took between two steps.
        wall: Seconds of the recorded batches by a clock of their own.
        batches: How many batches were recorded.
        slowdown: By which part of its time recording made a step longer (0.05: by 5 %), against
            steps in turn with the recorded ones; None if there were none.
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
        """The fields, and `unattributed`, as JSON can have them."""
        return {**asdict(self), "unattributed": self.unattributed}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Breakdown:
        """What `as_json` gave."""
        return cls(**{name: value for name, value in fields.items() if name != "unattributed"})


def break_down(recorder: Recorder, wall: float, slowdown: float | None = None) -> Breakdown:
    """The parts of what a recorder has seen.

    Args:
        recorder: Which has recorded.
        wall: Seconds of the same batches, measured elsewhere.
        slowdown: As Breakdown's.

    Raises:
        ValueError: It has seen no batch, or workers that cannot tell how long their envs took.
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
        workload: Whose envs.
        num_envs: How many of them.
        options: RingVectorEnv's keyword arguments.
        seconds: How long to step, after construction. Half of it is recorded.
        think: Seconds of computing by the caller after each step.

    Raises:
        ValueError: The workers cannot tell how long their envs take: `step_loop="reference"`, or
            an interpreter that cannot run the compiled step loop.
    """
    envs = RingVectorEnv([workload.make] * num_envs, **options)
    try:
        return measure_envs(envs, seconds, think)
    finally:
        envs.close()


def measure_envs(envs: RingVectorEnv[Any, Any], seconds: float, think: float = 0.0) -> Breakdown:
    """The same for a vector environment that is there; it is reset first."""
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
    """Steps for about so long; returns seconds per batch."""
    spent, batches = 0.0, 0
    while spent < seconds or not batches:
        spent += advance(step, actions, 1, think)
        batches += 1
    return spent / batches
