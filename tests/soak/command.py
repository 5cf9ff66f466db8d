# SPDX-License-Identifier: MIT
"""Mixed load for a long time: `python -m soak.command MINUTES`.

Every kind of worker at once, one of which is killed now and then. Every observation carries a
checksum that its env wrote into it. Fails if one is wrong, if memory grows, if it is slower in the
end than the same load in fresh processes, or if something is left.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys

from soak import fresh
from soak.loads import loads
from soak.running import Second, run
from support.books import MARK, Books

WARM = 0.2  # of the time: until caches are full and rates steady
MIB = 1 << 20
MOST_GROWTH = 8 * MIB  # bytes beyond 5 %
MOST_DRIFT = 0.05
TURNS = (40, 3.0)  # of the load and of a fresh one: how many, seconds
ENOUGH = 200  # seconds to become old in


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
    (rate, then), (cost, later) = both("rate"), both("cost")
    lines.append(f"env-steps/s: {rate:,.0f} after warm-up, {then:,.0f} at the end")
    lines.append(f"caller's CPU per env-step: {cost * 1e9:.0f} ns, {later * 1e9:.0f} at the end")
    return lines, wrong


def judge_age(ratios: list[float], enough: bool) -> tuple[list[str], list[str]]:
    """The same for steps per second beside those of the same load in fresh processes."""
    if not enough:
        return ["too short to say whether it becomes slower"], []
    ratio = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    line = f"{ratio:.3f} (quartiles {low:.3f} to {high:.3f}) of the env-steps/s of fresh processes"
    return [f"{line}, in {len(ratios)} turns"], ["it becomes slower"] * (ratio < 1 - MOST_DRIFT)


def main(minutes: float) -> int:
    """Runs, and prints one summary."""
    os.environ[MARK] = str(os.getpid())
    old, boxes = fresh.parts()
    before = Books.now()
    wrong: list[str] = []
    lines: list[str] = []
    made, host = loads(old, boxes)
    try:
        rng = random.Random(0)
        measured, killed = run(made, host, 60 * minutes, rng)
        enough = len(measured) >= ENOUGH
        ratios = fresh.compare(made, host, rng, *(TURNS if enough else (1, 0.5)))
    except AssertionError as error:
        wrong.append(f"MISMATCH: {error}")
    else:
        lines += [
            f"{each.name}: {each.env_steps:,} env-steps, {each.deaths} deaths" for each in made
        ]
        total = sum(each.env_steps for each in made)
        lines.append(f"{total:,} env-steps, all of them checked; {killed} workers killed")
        for told, more in (judge(measured), judge_age(ratios, enough)):
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
