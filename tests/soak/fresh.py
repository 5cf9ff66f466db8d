# SPDX-License-Identifier: MIT
"""The same load in a process that was just started: tells age from a machine that slows down.

Run by itself it makes a turn for each number of seconds that it reads, and prints env-steps per
second.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from envring.errors import LauncherError
from envring.launchers import sandbox
from soak.loads import Load, loads
from soak.running import run
from support import foreign_prefixes
from support.hosts import HostProcess

OLD = "gym-0.21"


def parts() -> tuple[Path, bool]:
    """A prefix with an old interpreter; whether there are sandboxes here."""
    old = foreign_prefixes.build(OLD)
    try:
        sandbox.bubblewrap()
    except LauncherError as error:
        print(f"NOTHING IN A SANDBOX: {error}", file=sys.stderr)
        return old, False
    return old, True


def rate(made: list[Load], host: HostProcess, seconds: float, rng: random.Random) -> float:
    """Env-steps per second."""
    before, since = sum(each.env_steps for each in made), time.monotonic()
    run(made, host, seconds, rng)
    return (sum(each.env_steps for each in made) - before) / (time.monotonic() - since)


def compare(
    made: list[Load], host: HostProcess, rng: random.Random, turns: int, seconds: float
) -> list[float]:
    """Env-steps per second, as a part of what fresh processes make at once before or after.

    Args:
        made: the load that is old.
        host: of one of its kinds.
        rng: says who is killed.
        turns: how many of each.
        seconds: of a turn.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "soak.fresh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None

        def theirs() -> float:
            print(seconds, file=other.stdin, flush=True)
            line = other.stdout.readline()
            assert line, "the fresh processes ended"
            return float(line)

        def ours() -> float:
            return rate(made, host, seconds, rng)

        try:
            for _ in range(2):  # until caches are full
                theirs()
                ours()
            ratios = []
            for turn in range(turns):
                if turn % 2:
                    mine, other_one = ours(), theirs()
                else:
                    other_one, mine = theirs(), ours()
                ratios.append(mine / other_one)
        finally:
            with contextlib.suppress(OSError):  # it has ended
                print("end", file=other.stdin, flush=True)  # forked workers keep its input open
    assert other.returncode == 0, "the fresh processes failed"
    return ratios


def main() -> None:
    """Makes the turns that are asked for."""
    made, host = loads(*parts())
    rng = random.Random(1)
    try:
        for line in iter(sys.stdin.readline, "end\n"):
            print(rate(made, host, float(line), rng), flush=True)
    finally:
        for each in made:
            each.close()
        host.end()


if __name__ == "__main__":
    main()
