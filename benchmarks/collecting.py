# SPDX-License-Identifier: MIT
"""What not waiting and not copying gain: `python benchmarks/collecting.py [ROW ...]`.

Rates are taken by turns, round after round; ratios are of one round, and shown as their median and
quartiles. The ceiling is what bare loops reach, one on each of two processors at the same time.
Leave the machine alone meanwhile. The exit status is 1 when the median misses a goal.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv

import envring
from envring.bench.workloads.synthetic import ImageEnv

SECONDS, ROUNDS = 0.5, 9


class Tail(gymnasium.Env[Any, Any]):
    """90 % of steps take 50 us, 10 % take 2 ms."""

    observation_space = Box(-1, 1, (4,), np.float32)
    action_space = Discrete(2)

    def __init__(self, seed: int, take: Callable[[float], None] | None = None) -> None:
        self._random = np.random.default_rng(seed)
        self._take = take or spend  # the time of a long step
        self._observation = np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._observation, {}

    def step(self, action: Any) -> Any:
        if self._random.random() < 0.1:
            self._take(2e-3)
        else:
            spend(50e-6)
        return self._observation, 0.0, False, False, {}


class Null(Tail):
    """Does nothing."""

    def step(self, action: Any) -> Any:
        return self._observation, 0.0, False, False, {}


def spend(seconds: float) -> None:
    """Computes for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def skip(seconds: float) -> None:
    """Takes no time."""


def cartpole() -> Any:
    """An env."""
    return gymnasium.make("CartPole-v1")


def rate(step: Callable[[], int], seconds: float = SECONDS) -> float:
    """Env steps per second; `step` returns how many it made."""
    steps, start = 0, time.perf_counter()
    while (now := time.perf_counter()) < start + seconds:
        steps += step()
    return steps / (now - start)


def _bare(fns: Any, start: Any, rates: Any) -> None:
    envs = [fn() for fn in fns]
    for env in envs:
        env.reset()

    def once() -> int:
        for env in envs:
            result = env.step(1)
            if result[2] or result[3]:
                env.reset()
        return len(envs)

    while True:
        start.wait()
        rates.put(rate(once))


class Ceiling:
    """Bare loops in two processes, each over half of the envs."""

    def __init__(self, fns: Any) -> None:
        context = multiprocessing.get_context("fork")
        self._start, self._rates = context.Barrier(3), context.Queue()
        half = len(fns) // 2
        for mine in (fns[:half], fns[half:]):
            arguments = (mine, self._start, self._rates)
            context.Process(target=_bare, args=arguments, daemon=True).start()

    def __call__(self) -> float:
        self._start.wait()
        return float(self._rates.get() + self._rates.get())


def stepping(envs: Any, actions: Any) -> Callable[[], int]:
    """A plain loop."""
    envs.reset(seed=0)

    def once() -> int:
        envs.step(actions)
        return int(envs.num_envs)

    return once


def receiving(envs: Any, actions: Any) -> Callable[[], int]:
    """send and recv."""
    envs.async_reset(seed=0)

    def once() -> int:
        env_ids = envs.recv()[4]["env_id"]
        envs.send(actions[env_ids], env_ids)
        return len(env_ids)

    return once


def tail(sleeps: bool, **options: Any) -> dict[str, Callable[[], float]]:
    fns = [partial(Tail, seed, time.sleep if sleeps else spend) for seed in range(64)]
    actions = np.zeros(64, np.int64)
    found: dict[str, Callable[[], float]] = {}
    if sleeps:
        other = stepping(AsyncVectorEnv(fns), actions)
        found["AsyncVectorEnv"] = lambda: rate(other)
        # what the processors have to do meanwhile: nobody is faster
        found["ceiling"] = Ceiling([partial(Tail, seed, skip) for seed in range(64)])
    else:
        found["ceiling"] = Ceiling(fns)
    waits = stepping(envring.RingVectorEnv(fns, **options), actions)
    found["step"] = lambda: rate(waits)
    goes = receiving(envring.RingVectorEnv(fns, batch_size=16, **options), actions)
    found["send and recv of 16"] = lambda: rate(goes)
    return found


def caller(make: Callable[[], Any], count: int) -> dict[str, Callable[[], float]]:
    fns, actions = [make] * count, np.ones(count, np.int64)
    found: dict[str, Callable[[], float]] = {"ceiling": Ceiling(fns)}
    two = stepping(envring.RingVectorEnv(fns, num_workers=2), actions)
    found["two workers"] = lambda: rate(two)
    own = stepping(envring.RingVectorEnv(fns, num_workers=1, caller_steps=True), actions)
    found["one, and the caller"] = lambda: rate(own)
    return found


def halves() -> dict[str, Callable[[], float]]:
    fns, actions = [cartpole] * 64, np.ones(64, np.int64)
    plain = envring.RingVectorEnv(fns, num_workers=2)
    step = stepping(plain, actions)

    def thinking() -> int:
        spend(300e-6)
        return step()

    first, second = envring.RingVectorEnv(fns, num_workers=2).split(2)
    half = actions[:32].copy()
    first.reset(seed=0)
    second.reset(seed=0)
    first.step_async(half)

    def both() -> int:
        for now, other in ((first, second), (second, first)):
            other.step_async(half)
            now.step_wait()
            spend(150e-6)
        return 64

    bare = Ceiling(fns)
    return {
        "plain": lambda: rate(thinking),
        "two halves": lambda: rate(both),
        "both processors": lambda: 64 / ((300e-6 + 2 * 64 / bare()) / 2),
    }


def rollout() -> dict[str, Callable[[], float]]:
    fns, steps = [ImageEnv] * 64, 128
    copying = envring.RingVectorEnv(fns, num_workers=2)
    actions = np.zeros(copying.action_space.shape, copying.action_space.dtype)
    observations, _ = copying.reset(seed=0)
    buffer = np.zeros((steps, *observations.shape), observations.dtype)
    state = {"t": 0, "observations": observations}
    del observations

    def copied() -> int:
        t = state["t"]
        buffer[t] = state["observations"]
        state["observations"] = copying.step(actions)[0]
        state["t"] = (t + 1) % steps
        return 64

    keeping = envring.RingVectorEnv(fns, num_workers=2, slots=steps + 1).rollout()
    keeping.reset(seed=0)

    def kept() -> int:
        keeping.step(actions)
        return 64

    other = stepping(envring.RingVectorEnv(fns, num_workers=2), actions)
    return {
        "step and copy": lambda: rate(copied),
        "rollout": lambda: rate(kept),
        "step": lambda: rate(other),
    }


def stepping_randomly(envs: Any) -> Callable[[], int]:
    """A plain loop, with random actions that were sampled before."""
    envs.reset(seed=0)
    actions = itertools.cycle(np.random.default_rng(0).integers(0, 2, (256, envs.num_envs)))

    def once() -> int:
        envs.step(next(actions))
        return int(envs.num_envs)

    return once


class Bare:
    """A vector env as an env, for bare loops."""

    def __init__(self, count: int) -> None:
        self._once = stepping_randomly(CartPoleVectorEnv(count))

    def reset(self) -> None:
        """It was."""

    def step(self, action: Any) -> Any:
        self._once()
        return None, 0.0, False, False, {}


def vectors(count: int) -> dict[str, Callable[[], float]]:
    """Gymnasium's CartPoleVectorEnv, and EnvPool's CartPole if it is installed."""
    half = count // 2
    bare = Ceiling([partial(Bare, half)] * 2)
    pools: dict[str, Any] = {}
    hosted = envring.RingVectorEnv([partial(CartPoleVectorEnv, half)] * 2, num_workers=2)
    if importlib.util.find_spec("envpool"):  # its threads come after the fork
        fns = [partial(envpool, half, 1)] * 2
        pools["EnvPool in two workers"] = envring.RingVectorEnv(fns, num_workers=2)
        pools["EnvPool"] = envpool(count, 2)
    loops = {
        "one process": CartPoleVectorEnv(count),
        "two workers": hosted,
        **pools,
    }
    once = {name: stepping_randomly(envs) for name, envs in loops.items()}
    found: dict[str, Callable[[], float]] = {name: partial(rate, o) for name, o in once.items()}
    return {**found, "two bare loops": lambda: half * bare()}


def envpool(count: int, threads: int) -> Any:
    """EnvPool's CartPole."""
    import envpool

    return envpool.make_gymnasium("CartPole-v1", num_envs=count, num_threads=threads, seed=0)


Row = Callable[[], dict[str, Callable[[], float]]]
ROWS: dict[str, Row] = {
    "tail": partial(tail, False, num_workers=2),
    "tail-asleep": partial(tail, True, num_workers=16, spin=0),
    "caller-cartpole-64": partial(caller, cartpole, 64),
    "caller-cartpole-8": partial(caller, cartpole, 8),
    "caller-null-64": partial(caller, partial(Null, 0), 64),
    "halves": halves,
    "rollout": rollout,
    "vector-cartpole-64": partial(vectors, 64),
    "vector-cartpole-16384": partial(vectors, 16384),
}


GOALS = {  # peer, and its ratio of the first
    "tail": ("send and recv of 16", 0.92),
    "tail-asleep": ("send and recv of 16", 5.0),
    "caller-cartpole-64": ("one, and the caller", 0.85),
    "caller-cartpole-8": ("one, and the caller", 0.80),
    "caller-null-64": ("one, and the caller", 0.60),
    "halves": ("two halves", 1.2),
    "rollout": ("rollout", 2.0),
    "vector-cartpole-64": ("two workers", 1.7),
}


def measure(name: str, row: Row) -> None:
    """Measures a row, in a process of its own; its exit status is 1 when a goal is missed."""
    who, goal = GOALS.get(name, ("", 0.0))
    missed = False
    peers = row()
    rates: dict[str, list[float]] = {peer: [] for peer in peers}
    for number in range(ROUNDS + 1):
        for peer, run in peers.items():
            found = run()
            if number:  # the first round is not counted
                rates[peer].append(found)
    base = next(iter(rates))
    for peer, found in rates.items():
        ratios = [mine / theirs for mine, theirs in zip(found, rates[base], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        judged = ""
        if peer == who:
            missed = middle < goal
            judged = f", goal {goal}" + ": missed" * missed
        print(
            f"{name:20} {peer:22} {statistics.median(found):12,.0f} steps/s   "
            f"{middle:6.3f} ({low:.3f} to {high:.3f}) of {base}{judged}",
            flush=True,
        )
    sys.exit(missed)


def main(rows: dict[str, Row], description: str | None) -> int:
    """Measures the rows that are named, or all; 1 if a goal is missed, or a row failed."""
    status = 0
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(rows))
    for name in parser.parse_args().rows or rows:
        if name not in rows:
            sys.exit(f"there is no row {name!r}; there are {', '.join(rows)}")
        arguments = (name, rows[name])
        process = multiprocessing.get_context("spawn").Process(target=measure, args=arguments)
        process.start()
        process.join()
        status |= process.exitcode != 0
    return status


if __name__ == "__main__":
    sys.exit(main(ROWS, __doc__))
