# SPDX-License-Identifier: MIT
"""Train CartPole with PPO while a worker is killed every few seconds: the training goes on.

`pip install torch` first. Each kill costs the episodes of one worker's envs, which come back as
truncated: the agent learns from what there is of them, and their returns do not count in the mean.
docs/faults.md has more of it. `--every 0` kills nobody.

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

from ppo import train


def kill_some(seconds: float, over: threading.Event) -> None:
    """Kills one worker after the other."""
    while not over.wait(seconds):
        workers = multiprocessing.active_children()
        if workers:
            os.kill(random.choice(workers).pid, signal.SIGKILL)


def main() -> None:
    """Trains, and prints how it goes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--plain", action="store_true", help="step, and copy into a buffer")
    parser.add_argument("--steps", type=int, default=500_000, help="the most env steps")
    given = parser.parse_args()
    over = threading.Event()
    if given.every:
        threading.Thread(target=kill_some, args=(given.every, over), daemon=True).start()
    make_env = partial(gym.make, "CartPole-v1")
    restarts = {"on_worker_death": "restart", "max_restarts": 1000}
    updates = train(make_env, given.seed, given.plain, given.steps, **restarts)
    for seconds, steps, mean in updates:
        print(f"{seconds:6.1f} s {steps:8,} steps {mean:6.1f} mean return", flush=True)
    over.set()


if __name__ == "__main__":
    main()
