# SPDX-License-Identifier: MIT
"""Steps envs with random actions and counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from envring.api.vector import RingVectorEnv


@dataclass(frozen=True)
class Count:
    """What was done so far.

    Attributes:
        steps: of all envs together; those that only reset an env are left out.
        episodes: that ended.
        rate: env steps per second since the count before, of the time spent stepping.
        mean_rate: the same since the beginning.
    """

    steps: int
    episodes: int
    rate: float
    mean_rate: float


def play(
    envs: RingVectorEnv[Any, Any], interval: float, pace: int | None = None
) -> Iterator[Count]:
    """Step envs without end.

    Args:
        envs: they have autoreset mode NEXT_STEP.
        interval: seconds between two counts.
        pace: steps of each env between two counts, instead.

    Yields:
        A count; whoever takes it may do other things before the next one is taken.
    """
    envs.action_space.seed(0)
    envs.reset(seed=0)
    ended = np.zeros(envs.num_envs, bool)
    steps = episodes = 0
    spent = 0.0
    while True:
        before, began = steps, time.perf_counter()
        batches = 0
        while True:
            _, _, terminations, truncations, _ = envs.step(envs.action_space.sample())
            steps += envs.num_envs - int(ended.sum())
            ended = terminations | truncations
            episodes += int(ended.sum())
            batches += 1
            now = time.perf_counter()
            if (batches >= pace) if pace is not None else (now - began >= interval):
                break
        spent += now - began
        yield Count(steps, episodes, (steps - before) / (now - began), steps / spent)
