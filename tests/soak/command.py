# SPDX-License-Identifier: MIT
"""Mixed load for a long time: `python -m soak.command MINUTES`.

Every kind of worker at once, one of which is killed now and then. Every observation carries a
checksum that its env wrote into it. Fails if one is wrong, if memory grows, if it becomes slower,
or if something is left at the end.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from dataclasses import dataclass

from envring.errors import LauncherError
from envring.launchers import sandbox
from soak.loads import Load, loads, resident
from support import foreign_prefixes
from support.books import MARK, Books
from support.hosts import HostProcess

OLD = "gym-0.21"
BETWEEN_KILLS = 2.0  # seconds, on average
WARM = 0.2  # of the time: until caches are full and rates steady
AHEAD = 4  # steps of vector envs while the others are in one
MIB = 1 << 20
MOST_GROWTH = 8 * MIB  # bytes beyond 5 %
MOST_DRIFT = 0.05
ENOUGH = 200  # seconds in which one restart more or less does not count


@dataclass
class Second:
    """What was measured in about a second."""

    rate: float  # env-steps per second
    cost: float  # CPU seconds of the caller per env-step
    machine: float  # CPU seconds of a loop that is always the same
    caller: int  # bytes
    host: int  # bytes
    worker: float  # bytes, of a worker on average


def run(made: list[Load], host: HostProcess, seconds: float) -> tuple[list[Second], int]:
    """The load, for so long; what was measured, and how many were killed."""
    rng = random.Random(0)
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
            measured.append(Second(done / took, cost, a_loop(), own, theirs, worker))
            steps, since, cpu = steps + done, now, time.process_time()
    return measured, killed


def a_loop() -> float:
    """CPU seconds of a loop: other programs make every one slower, through what cores share."""
    began = time.process_time()
    for i in range(50_000):
        str(i)
    return time.process_time() - began


def judge(measured: list[Second]) -> tuple[list[str], list[str]]:
    """Lines for the summary, and what is wrong."""
    warm = measured[int(len(measured) * WARM) :]
    part = max(len(warm) // 3, 1)
    wrong, lines = [], []

    def both(name: str) -> tuple[float, float]:
        values = [getattr(each, name) for each in warm]
        return statistics.median(values[:part]), statistics.median(values[-part:])

    for name in ("caller", "host", "worker"):
        before, after = both(name)
        lines.append(f"{name}: {before / MIB:.1f} MiB after warm-up, {after / MIB:.1f} at the end")
        if after > 1.05 * before + MOST_GROWTH:
            wrong.append(f"the memory of the {name} grows")
    (rate, then), (cost, later), (alone, crowded) = both("rate"), both("cost"), both("machine")
    lines.append(f"env-steps/s: {rate:,.0f} after warm-up, {then:,.0f} at the end")
    lines.append(f"caller's CPU per env-step: {cost * 1e9:.0f} ns, {later * 1e9:.0f} at the end")
    lines.append(f"a loop's CPU: {alone * 1e3:.2f} ms, {crowded * 1e3:.2f} at the end")
    # other programs make the rate lower, and the loop slower as well
    slower = later / cost / max(crowded / alone, 1.0)
    if then < rate * (1 - MOST_DRIFT) and slower > 1 + MOST_DRIFT:
        if len(warm) >= ENOUGH:
            wrong.append("it becomes slower")
        else:
            lines.append("too short to say whether it becomes slower")
    return lines, wrong


def main(minutes: float) -> int:
    """Runs, and prints one summary."""
    os.environ[MARK] = str(os.getpid())
    boxes = True
    try:
        sandbox.bubblewrap()
    except LauncherError as error:
        boxes = False
        print(f"NOTHING IN A SANDBOX: {error}")
    old = foreign_prefixes.build(OLD)
    before = Books.now()
    wrong: list[str] = []
    lines: list[str] = []
    made, host = loads(old, boxes)
    try:
        measured, killed = run(made, host, 60 * minutes)
    except AssertionError as error:
        wrong.append(f"MISMATCH: {error}")
    else:
        lines += [
            f"{each.name}: {each.env_steps:,} env-steps, {each.deaths} deaths" for each in made
        ]
        total = sum(each.env_steps for each in made)
        lines.append(f"{total:,} env-steps, all of them checked; {killed} workers killed")
        told, more = judge(measured)
        lines += told
        wrong += more
        deaths = sum(each.deaths for each in made)
        if not killed or not deaths:
            wrong.append("nothing was killed")
        wrong += [f"no steps of {each.name}" for each in made if not each.env_steps]
    finally:
        while made:
            made.pop().close()  # no name is left of it: arrays keep their segment
        host.end()
    del host
    wrong += [f"left behind: {each}" for each in before.left_over(5.0)]
    print(*lines, sep="\n")
    print(*(f"WRONG: {each}" for each in wrong), sep="\n")
    print(f"{minutes:g} minutes: {'failed' if wrong else 'nothing was wrong'}")
    return bool(wrong)


def in_a_session(minutes: float) -> int:
    """`main` in a session of its own, which tells its orphans from those of others."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        sys.exit(main(minutes))
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except KeyboardInterrupt:
        os.killpg(pid, signal.SIGTERM)
        raise


if __name__ == "__main__":
    sys.exit(in_a_session(float(sys.argv[1])))
