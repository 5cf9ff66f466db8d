# SPDX-License-Identifier: MIT
"""Several callers in one process: `python many_callers.py URL FIRST COUNT TROUBLE`.

Each has a thread and a session with one env. They say "open" when all of them have their envs, and
begin to step when a line comes. TROUBLE is what the env of the first one gets into, or "-".
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from gymnasium.vector import SyncVectorEnv

import envring
from envring import EnvSource, WorkerDied, WorkerTimeout
from envring.testing import assert_same_batch
from support.launcher_conformance import FILE

STEPS = 60
REACTION = {"-": None, "kill": WorkerDied, "hang": WorkerTimeout, "raise": envring.EnvringError}


def play(url: str, number: int, trouble: str, opened: threading.Barrier) -> None:
    """Steps one env beside a local one."""
    bonus = {"bonus": float(number)}
    source = EnvSource.elsewhere(f"{FILE}:make", kwargs=bonus)
    limit = {"step_timeout": 2.0} if trouble == "hang" else {}
    envs = envring.RingVectorEnv([source], remotes=url, **limit)
    local = SyncVectorEnv([EnvSource(f"{FILE}:make", kwargs=bonus)])
    try:
        opened.wait()
        assert_same_batch(envs.reset(seed=number), local.reset(seed=number))
        rng = np.random.default_rng(number)
        for step in range(STEPS):
            if step == STEPS // 2 and trouble != "-":
                envs.call("get_into", trouble)
                try:
                    envs.step(np.zeros(1, int))
                except REACTION[trouble]:
                    return
                raise AssertionError(f"no {REACTION[trouble]}")
            actions = rng.integers(5, size=1)
            assert_same_batch(envs.step(actions), local.step(actions))
    finally:
        envs.close()
        local.close()


def main(url: str, first: int, count: int, trouble: str) -> None:
    """Runs the callers."""

    def go() -> None:
        print("open", flush=True)
        sys.stdin.readline()

    opened = threading.Barrier(count, action=go, timeout=45)
    with ThreadPoolExecutor(count) as threads:
        futures = [
            threads.submit(play, url, number, "-" if number > first else trouble, opened)
            for number in range(first, first + count)
        ]
    for future in futures:
        future.result()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
