# SPDX-License-Identifier: MIT
"""How soon a vector env notices that a worker was killed: `python benchmarks/deaths.py`.

Each kill has fresh workers and comes at a random instant, while they are stepped without pause or
while an env sleeps in its step. Whoever has not raised after five seconds has not noticed. Kinds
take turns. SB3's SubprocVecEnv is measured where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv

import envring
from envring.bench.measuring import machine

ENVS = 4
PATIENCE = 5.0  # seconds
AFTER = (0.005, 0.05)  # seconds from the first step to the kill


class Sleeper(gymnasium.Env[Any, Any]):
    """Its second step takes longer than anybody waits."""

    observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self._stepped = False
        return np.zeros(4, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._stepped:
            time.sleep(10 * PATIENCE)
        self._stepped = True
        return np.zeros(4, np.float32), 0.0, False, False, {}


def cartpole() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("CartPole-v1")


def ours(make: Callable[[], Any]) -> tuple[Any, list[int]]:
    envs = envring.RingVectorEnv([make] * ENVS, num_workers=2)
    return envs, [process.pid for process in envs.processes]


def gymnasiums(make: Callable[[], Any]) -> tuple[Any, list[int]]:
    envs = AsyncVectorEnv([make] * ENVS)
    return envs, [process.pid for process in envs.processes]


def stable_baselines(make: Callable[[], Any]) -> tuple[Any, list[int]]:
    from stable_baselines3.common.vec_env import SubprocVecEnv

    envs = SubprocVecEnv([make] * ENVS, start_method="fork")
    return envs, [process.pid for process in envs.processes]


KINDS = {"RingVectorEnv": ours, "AsyncVectorEnv": gymnasiums}
if importlib.util.find_spec("stable_baselines3"):
    KINDS["SubprocVecEnv"] = stable_baselines
WORKLOADS: dict[str, Callable[[], Any]] = {"stepped": cartpole, "asleep": Sleeper}


def notice(make: Callable[[], Any], build: Callable[..., Any], rng: random.Random) -> float:
    """Seconds from a kill to the error of the call that was pending or came next."""
    envs, pids = build(make)
    killed = [0.0]

    def kill() -> None:
        time.sleep(rng.uniform(*AFTER))
        killed[0] = time.monotonic()
        os.kill(rng.choice(pids), signal.SIGKILL)

    actions = np.zeros(ENVS, np.int64)
    envs.reset()
    envs.step(actions)
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        while True:
            envs.step(actions)
    except Exception:
        return time.monotonic() - killed[0]


def noticed(workload: str, kind: str, seed: int) -> float | None:
    """As `notice`, in a process of its own; None if it takes longer than PATIENCE."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        os.setsid()  # so that what hangs can be ended with all its workers
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 2)
        sender.send(notice(WORKLOADS[workload], KINDS[kind], random.Random(seed)))
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    sender.close()
    try:
        return float(receiver.recv()) if receiver.poll(PATIENCE + 1.0) else None
    except EOFError:
        return None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        receiver.close()


def main() -> None:
    """Prints a line for each kind and workload."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=500, help="of each (default: 500)")
    parser.add_argument("--peers", type=int, default=50, help="of those of others (default: 50)")
    arguments = parser.parse_args()
    print("load before", machine.load_average())
    found: dict[tuple[str, str], list[float | None]] = {}
    for number in range(arguments.kills):
        for workload in WORKLOADS:
            for kind in KINDS:
                if kind == "RingVectorEnv" or number < arguments.peers:
                    seconds = noticed(workload, kind, number)
                    found.setdefault((workload, kind), []).append(seconds)
    print(f"{'':24}{'kills':>6}{'median':>11}{'p99':>11}{'most':>11}   not within {PATIENCE:g} s")
    for (workload, kind), each in found.items():
        times = sorted(1e3 * seconds for seconds in each if seconds is not None)
        late = sum(seconds is None or seconds > PATIENCE for seconds in each)
        shown = np.quantile(times or [np.nan], (0.5, 0.99, 1.0))
        figures = "".join(f"{value:8.2f} ms" for value in shown)
        print(f"{workload:8} {kind:15}{len(each):6}{figures}   {late}")
    print("load after", machine.load_average())


if __name__ == "__main__":
    main()
