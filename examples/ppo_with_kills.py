# SPDX-License-Identifier: MIT
"""Train CartPole with PPO while a worker is killed every few seconds: the training goes on.

`pip install torch` first. Each kill costs the episodes of one worker's envs, which come back as
truncated: the agent learns from what there is of them, and their returns do not count in the mean.
docs/faults.md has more of it. `--every 0` kills nobody. A worker that lived for less than a second
is started again after a pause, which grows: with a kill every half second there is no progress.

    python examples/ppo_with_kills.py [--seed 1] [--every 5] [--plain]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import threading
from functools import partial

import gymnasium as gym

import envring
from ppo import train


class Killer:
    """Kills one worker every so many seconds, once the training is under way, and counts.

    Attributes:
        kills: how many it has killed.
        restarts: how many were started again, when somebody looked last.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self.kills = self.restarts = 0
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(seconds, most), daemon=True)
        self._is_wanted = seconds > 0

    def _run(self, seconds: float, most: int) -> None:
        while self.kills < most and not self.over.wait(seconds):
            workers = multiprocessing.active_children()
            if workers:
                os.kill(random.choice(workers).pid, signal.SIGKILL)
                self.kills += 1

    def look(self, envs: envring.RingVectorEnv) -> None:
        """Sees how many were started again; begins after the first update."""
        self.restarts = sum(worker.restarts for worker in envs.stats().workers)
        if self._is_wanted:
            self._is_wanted = False
            self._thread.start()


def main() -> None:
    """Trains, and prints how it goes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--most", type=int, default=1000, help="the most kills")
    parser.add_argument("--plain", action="store_true", help="step, and copy into a buffer")
    parser.add_argument("--steps", type=int, default=500_000, help="the most env steps")
    given = parser.parse_args()
    killer = Killer(given.every, given.most)
    make_env = partial(gym.make, "CartPole-v1")
    restarts = {"on_worker_death": "restart", "max_restarts": 1000}
    updates = train(make_env, given.seed, given.plain, given.steps, killer.look, **restarts)
    for seconds, steps, mean in updates:
        print(f"{seconds:6.1f} s {steps:8,} steps {mean:6.1f} mean return", flush=True)
    killer.over.set()
    print(f"{killer.kills} kills, {killer.restarts} restarts")


if __name__ == "__main__":
    main()
