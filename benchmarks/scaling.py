# SPDX-License-Identifier: MIT
"""What a step costs the caller with many workers: `python benchmarks/scaling.py`.

Measures steps of empty envs with 1 to 128 workers that sleep between steps (`spin=0`). A model has
its parameters from those with at most 8 workers, and from primitives of the C library; its errors
are those of what it then says of 16, 64 and 128. Last, the model's steps on larger machines, where
the caller wakes all workers itself, or some that wake others. docs/scaling.md explains it. Leave
the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import ctypes
import heapq
import itertools
import mmap
import os
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

import envring
from envring.workers.lifeline import LIBRARY

FITTED, PREDICTED = (1, 2, 4, 8), (16, 64, 128)
FOREVER = 2**63 - 1


class Null(gymnasium.Env[Any, Any]):
    """Does nothing."""

    observation_space = Box(-1, 1, (4,), np.float32)
    action_space = Discrete(2)
    _observation = np.zeros(4, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._observation, {}

    def step(self, action: Any) -> Any:
        return self._observation, 0.0, False, False, {}


# -- the model -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """Parameters, in microseconds."""

    start: float = 0.0  # the caller's part of a step's start, without workers
    post: float = 0.0  # a command for one worker
    wake: float = 0.0  # to wake one that sleeps
    latency: float = 0.0  # from there until it runs, on a core that was idle
    serve: float = 0.0  # a worker from its waking to its sleep, without envs
    line: float = 0.0  # of that, what no two workers do at the same time: the shared counter
    env: float = 0.0  # a step of one env
    take: float = 0.0  # the caller's part of a step's end, without workers
    report: float = 0.0  # of one worker


@dataclass(frozen=True)
class Step:
    """What a step takes, in microseconds."""

    start: float  # until the caller may go on
    done: float  # until the last worker is done
    whole: float  # until the caller has the results


def tree(count: int, fan: int) -> list[list[int]]:
    """Whom each worker wakes, and (last) whom the caller does: `fan` each."""
    wakes: list[list[int]] = [[] for _ in range(count + 1)]
    for worker in range(count):
        parent = count if worker < fan else (worker - fan) // fan
        wakes[parent].append(worker)
    return wakes


def groups(count: int, leaders: int) -> list[list[int]]:
    """The caller wakes a leader of each group, who wakes its group: a bell for each NUMA node."""
    wakes: list[list[int]] = [[] for _ in range(count + 1)]
    wakes[count] = list(range(leaders))
    for worker in range(leaders, count):
        wakes[worker % leaders].append(worker)
    return wakes


def simulate(
    costs: Costs, workers: int, cores: int, envs: float, wakes: list[list[int]] | None = None
) -> Step:
    """One step, of workers that all sleep.

    The caller has core 0, for itself if there are enough. Workers of one core run one after the
    other, in the order in which they were woken. One that is woken on the caller's core runs at
    once, in its place.
    """
    wakes = wakes or tree(workers, workers)
    first = int(cores > max(workers, 2))  # the core of worker 0
    free = [0.0] * cores  # when each core has nothing to do
    due: list[tuple[float, int]] = []  # (when a worker was woken, the worker)
    counter = done = 0.0

    def run(worker: int, at: float) -> float:
        nonlocal counter, done
        for other in wakes[worker]:  # first: they then work beside this one
            at += costs.wake
            heapq.heappush(due, (at, other))
        at += costs.serve - costs.line + envs * costs.env
        counter = at = max(at, counter) + costs.line
        done = max(done, at)
        return at

    at = costs.start + costs.post * workers
    for worker in wakes[workers]:
        at += costs.wake
        if (worker + first) % cores == 0:
            at = run(worker, at)
        else:
            heapq.heappush(due, (at, worker))
    start = free[0] = at
    while due:
        woken, worker = heapq.heappop(due)
        core = (worker + first) % cores
        at = free[core] if free[core] > woken else woken + costs.latency
        free[core] = run(worker, at)
    at = done + costs.wake + costs.latency if free[0] < done else free[0]
    return Step(start, done, at + costs.take + costs.report * workers)


# -- primitives ------------------------------------------------------------------------------------


def _library() -> Any:
    library = ctypes.CDLL(str(LIBRARY))
    library.er_bell_value.restype = ctypes.c_uint32
    library.er_ready_mark.argtypes = [ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint32]
    for name in ("er_bell_value", "er_bell_ring"):
        getattr(library, name).argtypes = [ctypes.c_char_p]
    wait_types = [ctypes.c_char_p, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_int64]
    library.er_bell_wait.argtypes = wait_types
    open_types = [ctypes.c_char_p, ctypes.c_double, ctypes.c_int, ctypes.c_uint32]
    library.er_wait_open.argtypes = open_types
    return library


def _forked(run: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(0)
    return pid


def _end(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _shared(nbytes: int) -> Any:
    """Memory that forks share."""
    return (ctypes.c_char * nbytes).from_buffer(mmap.mmap(-1, nbytes))


def wake_costs(counts: Sequence[int] = (0, 1, 2, 4, 8, 16, 32)) -> dict[int, float]:
    """What it takes to ring a bell on which so many processes of another core sleep, in us."""
    library = _library()
    bell = _shared(4096)
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:1])

    def sleep_for_ever() -> None:
        os.sched_setaffinity(0, allowed[-1:])
        policy = ctypes.create_string_buffer(256)
        library.er_wait_open(policy, 0.0, 0, 1)
        while True:
            library.er_bell_wait(bell, library.er_bell_value(bell), policy, FOREVER)

    found: dict[int, float] = {}
    for count in counts:
        pids = [_forked(sleep_for_ever) for _ in range(count)]
        times = []
        for _ in range(200):
            time.sleep(2e-3)  # until they sleep
            began = time.perf_counter_ns()
            library.er_bell_ring(bell)
            times.append((time.perf_counter_ns() - began) / 1e3)
        _end(pids)
        found[count] = statistics.median(times)
    os.sched_setaffinity(0, allowed)
    return found


def line_cost() -> float:
    """What an atomic operation takes on a line that another core writes, too, in microseconds."""
    library, words, calls = _library(), _shared(1 << 16), 2000

    def mark() -> None:
        library.er_ready_mark(words, 0, 8192)  # 128 words of 64 bits, 8 in a line

    def other() -> None:
        while True:
            mark()

    pids = [_forked(other)]
    time.sleep(0.1)
    began = time.perf_counter()
    for _ in range(calls):
        mark()
    contended = time.perf_counter() - began
    _end(pids)
    return contended / calls / 128 * 1e6


# -- steps -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """Medians, in microseconds: of the caller's two parts while workers sleep, and of a step."""

    start: float
    take: float
    whole: float


def measure(workers: int, envs: int, times: int = 300) -> Measured:
    """Steps of empty envs, so many for each worker."""
    count = workers * envs
    vector = envring.RingVectorEnv([Null] * count, num_workers=workers, spin=0)
    actions = np.zeros(count, np.int64)
    vector.reset(seed=0)
    parts: list[list[float]] = [[], [], []]
    for _ in range(times):
        moments = [time.perf_counter_ns()]
        vector.step_async(actions)
        moments.append(time.perf_counter_ns())
        time.sleep(1e-3 + workers * 60e-6)  # until all are done, and sleep
        moments.append(time.perf_counter_ns())
        vector.step_wait()
        moments.append(time.perf_counter_ns())
        vector.step(actions)
        moments.append(time.perf_counter_ns())
        time.sleep(1e-3)
        for part, at in zip(parts, (0, 2, 3), strict=True):
            part.append((moments[at + 1] - moments[at]) / 1e3)
    vector.close()
    return Measured(*(statistics.median(part) for part in parts))


def own_part(workers: int = 2, times: int = 1000) -> dict[str, float]:
    """The caller's own part of a step of 1024 empty envs whose workers are done, by its pieces."""
    vector = envring.RingVectorEnv([Null] * 1024, num_workers=workers)
    actions = np.zeros(1024, np.int64)
    vector.reset(seed=0)
    pieces: dict[str, list[float]] = {"start": [], "take": [], "copies": []}
    results: Any = ()
    for _ in range(times):
        moments = [time.perf_counter_ns()]
        vector.step_async(actions)
        moments.append(time.perf_counter_ns())
        time.sleep(4e-4)  # until all are done; they still spin
        moments.append(time.perf_counter_ns())
        results = vector.step_wait()
        moments.append(time.perf_counter_ns())
        time.sleep(1e-4)
        began = time.perf_counter_ns()
        for array in (actions, *results[:4]):
            array.copy()
        pieces["copies"].append((time.perf_counter_ns() - began) / 1e3)
        pieces["start"].append((moments[1] - moments[0]) / 1e3)
        pieces["take"].append((moments[3] - moments[2]) / 1e3)
    vector.close()
    return {piece: statistics.median(found) for piece, found in pieces.items()}


# -- the model's parameters, and what it says ------------------------------------------------------


def line_through(points: dict[int, float]) -> tuple[float, float]:
    """(value at 0, slope) of the line that fits best, by relative errors."""
    x, y = np.array(list(points), float), np.array(list(points.values()))
    slope, base = np.polyfit(x, y, 1, w=1 / y)
    return float(base), float(slope)


def fitted(found: dict[int, Measured], wakes: dict[int, float], line: float, cores: int) -> Costs:
    """The parameters: of primitives, and of steps with few workers."""
    _, wake = line_through(wakes)
    _, report = line_through({w: found[w].take for w in FITTED})
    costs = Costs(post=2 * line, wake=wake, line=line, report=max(report, 0.0))

    def tried(serve: float, latency: float, take: float) -> tuple[float, Costs]:
        start = max(found[1].start - wake - serve, 0.0)  # worker 0 runs in the caller's place
        costs_now = replace(costs, start=start, serve=serve, latency=latency, take=take)
        errors = 0.0
        for workers in FITTED:
            step = simulate(costs_now, workers, cores, 1)
            errors += np.log(step.start / found[workers].start) ** 2
            errors += np.log(step.whole / found[workers].whole) ** 2
        return float(errors), costs_now

    grid = itertools.product(range(1, 61), range(0, 61, 5), range(0, 31, 3))
    return min((tried(*each) for each in grid), key=lambda pair: pair[0])[1]


SCHEMES: dict[str, Callable[[int], list[list[int]]]] = {
    "all by the caller": lambda count: tree(count, count),
    "tree of 2": lambda count: tree(count, 2),
    "tree of 4": lambda count: tree(count, 4),
    "tree of 16": lambda count: tree(count, min(16, count)),
    "4 bells": lambda count: groups(count, min(4, count)),
}


def larger(costs: Costs) -> None:
    """Prints what the model says of machines with a core for each worker and the caller."""
    print("\na core for each worker: us until the caller goes on / until a step is complete")
    for count in (16, 64, 128, 256):
        for name, wakes in SCHEMES.items():
            step = simulate(costs, count, count + 1, 0, wakes(count))
            print(f"  {count:4} workers  {name:18} {step.start:7.0f} / {step.whole:7.0f}")


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    cores = parser.parse_args().cores
    pieces = own_part()
    print("the caller's own part of a step of 1024 empty envs, us:", end=" ")
    print(", ".join(f"{piece} {value:.1f}" for piece, value in pieces.items()))
    wakes, line = wake_costs(), line_cost()
    print("to ring a bell, us:", ", ".join(f"{n} asleep {t:.1f}" for n, t in wakes.items()))
    found = {workers: measure(workers, 1) for workers in (*FITTED, *PREDICTED)}
    costs = fitted(found, wakes, line, cores)
    print(costs)
    print("us: start, whole step; of which the model says")
    for workers, each in found.items():
        step = simulate(costs, workers, cores, 1)
        row = [(each.start, step.start), (each.whole, step.whole)]
        cells = (f"{mine:7.1f} {said:7.1f} ({said / mine - 1:+.0%})" for mine, said in row)
        print(f"  {workers:4} workers ", "  ".join(cells), "" if workers in FITTED else "predicted")
    larger(costs)


if __name__ == "__main__":
    main()
