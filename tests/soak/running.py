# SPDX-License-Identifier: MIT
"""Steps vector envs in turn, kills a worker now and then, and measures."""

from __future__ import annotations

import os
import random
import statistics
import time
from dataclasses import dataclass

from soak.loads import Load, resident
from support.hosts import HostProcess

BETWEEN_KILLS = 2.0  # seconds, on average
AHEAD = 4  # steps of vector envs while the others are in one


@dataclass
class Second:
    """What was measured in about a second."""

    rate: float  # env-steps per second
    cost: float  # CPU seconds of the caller per env-step
    caller: int  # bytes
    host: int  # bytes
    worker: float  # bytes, of a worker on average


def run(
    made: list[Load], host: HostProcess, seconds: float, rng: random.Random
) -> tuple[list[Second], int]:
    """The load, for so long; what was measured, and how many were killed."""
    first, others = made[0], made[1:]
    measured: list[Second] = []
    killed = 0
    begun = since = time.monotonic()
    steps, cpu = 0, time.process_time()
    kill_at = begun + rng.uniform(0, 2 * BETWEEN_KILLS)
    while (now := time.monotonic()) < begun + seconds:
        for each in others:
            each.start()
        if now >= kill_at:
            time.sleep(rng.uniform(0, 0.003))  # somewhere in the step
            killed += rng.choice(made).kill(rng)
            kill_at = now + rng.uniform(0, 2 * BETWEEN_KILLS)
        for _ in range(AHEAD):
            first.start()
            first.finish()
        for each in others:
            each.finish()
        if now - since >= 1.0:
            done = sum(each.env_steps for each in made) - steps
            took, used = now - since, time.process_time() - cpu
            pids = [pid for each in made for pid in each.pids()]
            worker = statistics.mean(resident(pid) for pid in pids)
            own, theirs = resident(os.getpid()), resident(host.process.pid)
            cost = used / max(done, 1)
            measured.append(Second(done / took, cost, own, theirs, worker))
            steps, since, cpu = steps + done, now, time.process_time()
    return measured, killed
