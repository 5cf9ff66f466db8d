# SPDX-License-Identifier: MIT
"""Envs in C++ beside EnvPool's: `python benchmarks/program.py [--envs 8,64]`.

CartPole of examples/workers/cartpole.cpp, compiled here, which `envring.Program` starts in two
processes; EnvPool's with two threads, if it is installed; and CartPole in Python. Rates are taken
by turns, round after round; ratios are of one round, and shown as their median and quartiles. A
reset is not an env step, but its time counts. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import envring
from envring.bench.measuring.stats import spread

SOURCE = Path(__file__).parents[1] / "examples/workers/cartpole.cpp"
WORKERS, SECONDS, ROUNDS = 2, 0.5, 9


def compiled(folder: str) -> envring.EnvSource:
    """The env of the example, in a program that was compiled just now."""
    program = Path(folder) / "cartpole"
    command = ["g++", "-std=c++17", "-O2", f"-I{envring.get_include()}", str(SOURCE)]
    subprocess.run([*command, "-o", str(program), "-ldl", "-pthread"], check=True)
    return envring.EnvSource("CartPole-v1", launcher=envring.Program(str(program)))


def sides(envs: int, source: envring.EnvSource) -> dict[str, Any]:
    """The vector envs that are compared; all reset in the step after an episode's end."""
    made: dict[str, Any] = {
        "C++": envring.RingVectorEnv([source] * envs, num_workers=WORKERS),
        "Python": envring.make_vec("CartPole-v1", envs, num_workers=WORKERS),
    }
    if importlib.util.find_spec("envpool"):
        import envpool

        options = {"num_envs": envs, "num_threads": WORKERS, "seed": 1}
        made["EnvPool"] = envpool.make("CartPole-v1", env_type="gymnasium", **options)
    made["in one process"] = gymnasium.make_vec("CartPole-v1", envs, vectorization_mode="sync")
    return made


def rate(env: Any, actions: Any, seconds: float) -> float:
    """Env steps per second for so long; the first tenth does not count, it wakes what slept."""
    ended, steps, number = np.zeros(len(actions[0]), bool), 0, 0
    began = time.perf_counter()
    start, until = began + seconds / 10, began + seconds * 1.1
    while (now := time.perf_counter()) < until:
        if now < start:
            began, steps = now, 0
        result = env.step(actions[number % len(actions)])
        steps += len(ended) - int(np.count_nonzero(ended))
        ended = result[2] | result[3]
        number += 1
    return steps / (time.perf_counter() - began)


def measure(envs: int, source: envring.EnvSource) -> None:
    """Takes the rates of all, and prints them."""
    made = sides(envs, source)
    actions = np.random.default_rng(1).integers(0, 2, (1000, envs))
    rates: dict[str, list[float]] = {name: [] for name in made}
    for env in made.values():
        env.reset()
    for _ in range(ROUNDS):
        for name, env in made.items():
            time.sleep(0.01)  # others go to sleep meanwhile
            rates[name].append(rate(env, actions, SECONDS))
    for env in made.values():
        env.close()
    print(f"{envs} envs, {WORKERS} workers or threads, load {os.getloadavg()[0]:.1f}")
    for name, each in rates.items():
        ratio = spread(ours / theirs for ours, theirs in zip(rates["C++"], each, strict=True))
        assert ratio is not None
        shown = f"C++ is {ratio.median:.2f} times as fast ({ratio.low:.2f} to {ratio.high:.2f})"
        print(f"  {name:15}{statistics.median(each):>12,.0f} env steps/s  {shown}", flush=True)


def main() -> None:
    """Measures for each number of envs."""
    parser = argparse.ArgumentParser(description="Envs in C++ beside EnvPool's")
    parser.add_argument("--envs", default="8,64,1024")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = compiled(folder)
        for envs in map(int, arguments.envs.split(",")):
            measure(envs, source)


if __name__ == "__main__":
    main()
