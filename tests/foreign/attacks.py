# SPDX-License-Identifier: MIT
"""Runs attacks of `plain_attacker`: `python attacks.py FIRST COUNT`, in a process of its own.

A caller that crashes, hangs or unpickles something ends this process with another status than 0.
Each run has a seed, which says who attacks, beside whom, and how.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing import TimeoutError as Late
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError

from envring import EnvringError, EnvSource, Prefix, Python, RingVectorEnv
from foreign.test_relay import WithoutLibrary

FILE = Path(__file__).with_name("plain_attacker.py")
STEPS = 4
TIMEOUT = 3.0  # seconds of a call
MOST = 40.0  # seconds of all calls of a run together
START = 300.0  # seconds until its workers have started, on a busy machine
HERE = Python(sys.executable)
OTHER = Prefix(sys.prefix)  # another launcher: its workers share nothing with those of HERE
SANDBOX = Python(sys.executable, sandbox=True)
RELAYED = WithoutLibrary(sys.executable)  # the caller serves the rings of such a worker
PLACES = ["alone", "beside local envs", "between local envs", "beside another", "relayed"]
if shutil.which("bwrap"):
    PLACES.append("in a sandbox")


class Quiet(gymnasium.Env):
    """A local env whose values are known."""

    observation_space = gymnasium.spaces.Box(-1e9, 1e9, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(5)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.count = 0
        return np.zeros(4, np.float32), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        # an info that travels whole: its worker has a reply in every step
        info = {"text": "t" * self.count, "set": {self.count}}
        return np.full(4, 1000 + self.count, np.float32), 7.0, False, False, info


def attacker(seed: int, launcher: Any, kinds: list[str] | None = None) -> EnvSource:
    kwargs = {"seed": seed, "when": 2, "kinds": kinds}
    return EnvSource(f"{FILE}:Attacker", kwargs=kwargs, launcher=launcher)


def check(row: Any, number: int, count: int) -> None:
    """A local env's step has its values, whatever the attacker does."""
    observation, reward, terminated, truncated, text = row
    assert (observation == 1000 + count).all(), (number, observation)
    assert reward == 7.0, (number, reward)
    assert not terminated, number
    assert not truncated, number
    assert text == {count}, (number, text)


def step_all(envs: Any, seed: int, local: list[int]) -> str:
    """Steps of all envs together."""
    envs.reset(seed=seed)
    for step in range(1, STEPS + 1):
        envs.step_async(np.zeros(envs.num_envs, np.int64))
        began = time.monotonic()
        try:
            *rows, infos = envs.step_wait(TIMEOUT)
        except Late:
            assert time.monotonic() - began < TIMEOUT + 10, "late by far"
            return "late"
        for number in local:
            check([*(each[number] for each in rows), infos["set"][number]], number, step)
    return "no error"


def send_some(rng: random.Random, envs: Any, seed: int, local: list[int]) -> str:
    """Steps of some envs at a time, received in the order in which they are done."""
    counts = dict.fromkeys(range(envs.num_envs), -1)
    envs.async_reset(seed=seed)
    out = set(counts)
    for _ in range(3 * STEPS):
        idle = sorted(set(counts) - out)
        sent = rng.sample(idle, rng.randint(0, len(idle)))
        if sent:
            envs.send(np.zeros(len(sent), np.int64), sent)
            out.update(sent)
        if not out:
            continue
        began = time.monotonic()
        try:
            *rows, infos = envs.recv(rng.randint(1, len(out)), timeout=TIMEOUT)
        except Late:
            assert time.monotonic() - began < TIMEOUT + 10, "late by far"
            return "late when received"
        for row, number in enumerate(infos["env_id"].tolist()):
            assert number in out, "an env that was not sent"
            out.remove(number)
            counts[number] += 1
            if number in local and counts[number]:
                found = [*(each[row] for each in rows), infos["set"][row]]
                check(found, number, counts[number])
    return "no error when received"


def run(seed: int, limit: Callable[[float], None]) -> str:
    """One attack. Returns what came of it; an AssertionError means that it succeeded.

    Args:
        seed: says who attacks, beside whom, and how.
        limit: gives what follows so many seconds.
    """
    limit(START)
    rng = random.Random(seed)
    place = rng.choice(PLACES)
    fns: list[Any] = {
        "alone": [attacker(seed, HERE)] * 2,
        "beside local envs": [Quiet, Quiet, attacker(seed, HERE)],
        "between local envs": [Quiet, attacker(seed, HERE), Quiet],
        "beside another": [attacker(seed, HERE), attacker(seed, OTHER, ["stderr"])],
        "relayed": [attacker(seed, RELAYED), Quiet, attacker(seed, RELAYED)],
        "in a sandbox": [Quiet, attacker(seed, SANDBOX)],
    }[place]
    local = [number for number, fn in enumerate(fns) if fn is Quiet]
    workers = 1 if place == "alone" and seed % 2 else len(fns)
    envs = RingVectorEnv(
        fns, num_workers=workers, autoreset_mode=rng.choice(("NextStep", "Disabled"))
    )
    drive = step_all if rng.random() < 0.5 else partial(send_some, rng)
    limit(MOST)
    try:
        return drive(envs, seed, local)
    except ClosedEnvironmentError:
        raise
    except EnvringError as error:
        return type(error).__name__
    finally:
        with contextlib.suppress(EnvringError):
            envs.close(timeout=1.0)


def main(first: int, count: int) -> None:
    trap = Path(tempfile.mkdtemp(), "trap")
    os.environ["TRAP"] = str(trap)
    gymnasium.logger.min_level = 60
    kept = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # of attackers that die noisily
    came: Counter[str] = Counter()
    with os.fdopen(kept, "w") as errors:
        limit = partial(faulthandler.dump_traceback_later, exit=True, file=errors)
        for seed in range(first, first + count):
            print(f"run {seed}", file=errors, flush=True)
            try:
                came[run(seed, limit)] += 1
            except BaseException as error:
                print(f"run {seed}: {type(error).__name__}: {error}", file=errors, flush=True)
                raise
            assert not trap.exists(), f"run {seed}: code of an attacker ran here"
            faulthandler.cancel_dump_traceback_later()
    print(dict(came))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
