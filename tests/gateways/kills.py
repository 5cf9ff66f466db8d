# SPDX-License-Identifier: MIT
"""Kills hosts, workers and callers at random moments: `python kills.py WHOM FIRST COUNT`.

In a process of its own. Each round has a seed, which says when. A round fails if an error does not
name its cause, or something is left: a process on either side, a session, a slot.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import envring
from envring import EnvringError, EnvSource, HostLost, WorkerDied
from support.hosts import HostProcess
from support.launcher_conformance import FILE
from support.processes import wait_until

GAME = f"{FILE}:make"
NUM_ENVS = 4
LONGEST = 0.6  # seconds from the beginning of a round to the kill
BOUND = 20.0  # seconds of silence after which a host is given up: kills are noticed by other means
MARK = f"kills-{uuid.uuid4().hex}"

CALLER = f"""
    import numpy, envring
    source = envring.EnvSource.elsewhere({GAME!r})
    print("up", flush=True)
    while True:
        envs = envring.RingVectorEnv([source] * {NUM_ENVS}, remotes="URL", num_workers=2)
        envs.reset()
        for _ in range(200):
            envs.step(numpy.zeros({NUM_ENVS}, int))
        envs.close()
"""


def marked() -> set[int]:
    """Processes that we started, and those that these started, but not this one."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if MARK.encode() in (path / "environ").read_bytes() and int(path.name) != os.getpid():
                found.add(int(path.name))
    return found


def play(url: str, go_on: Callable[[], bool]) -> Any:
    """Episodes, as long as they are to go on; the error that ended them, or None."""
    envs = None
    try:
        while go_on():
            envs = envring.RingVectorEnv(
                [EnvSource.elsewhere(GAME)] * NUM_ENVS,
                remotes=f"{url}?heartbeat={BOUND}",
                num_workers=2,
                start_timeout=3 * BOUND,
            )
            envs.reset()
            for _ in range(200):
                envs.step(np.zeros(NUM_ENVS, int))
            envs.close()
            envs = None
    except EnvringError as error:
        return error
    finally:
        if envs is not None:
            with contextlib.suppress(EnvringError):
                envs.close()
    return None


def at_random(rng: random.Random) -> str:
    """A shell's time to sleep."""
    return f"{rng.uniform(0.0, LONGEST):.4f}"


def kill_later(rng: random.Random, what: str) -> subprocess.Popen[bytes]:
    """Sends SIGKILL, from a process of its own: to "PID" or to "-P PID", a child of it."""
    script = f"sleep {at_random(rng)}; {what}"
    return subprocess.Popen(["bash", "-c", script], env={**os.environ, "MARK": ""})


def kill_host(rng: random.Random) -> str:
    host = HostProcess(GAME, env={"MARK": MARK})
    killer = kill_later(rng, f"kill -9 {host.process.pid}")
    until = time.monotonic() + 20
    error = play(host.url, lambda: time.monotonic() < until)
    killer.wait(10)
    host.end()
    assert error is not None
    assert host.url in str(error), error
    assert isinstance(error, (HostLost, envring.LaunchError)), error
    if isinstance(error, HostLost):
        assert error.env_ids == tuple(range(NUM_ENVS))
    wait_until(lambda: not marked(), 60, "its workers have ended")
    return type(error).__name__


def kill_worker(rng: random.Random, host: HostProcess) -> str:
    """One of the processes below the host, whatever it does."""
    found = [pid for pid in marked() if pid != host.process.pid]
    assert not found, found
    pick = f"pgrep -P {host.process.pid} | shuf -n 1 --random-source=<(yes {rng.random()})"
    # until there is one to kill
    script = (
        f'for i in {{1..500}}; do p=$({pick}); [ -n "$p" ] && kill -9 $p && exit; sleep .01; done'
    )
    killer = kill_later(rng, script)
    error = play(host.url, lambda: killer.poll() is None)
    killer.wait(10)
    assert isinstance(error, (WorkerDied, envring.LaunchError, type(None))), error
    assert not isinstance(error, HostLost), error
    if isinstance(error, WorkerDied):
        assert error.signal == signal.SIGKILL, error
        assert set(error.env_ids) in ({0, 1}, {2, 3}), error
    wait_until(lambda: marked() == {host.process.pid}, 60, "the session's other workers have ended")
    # the next session has nothing to do with that
    again = play(host.url, iter([True, False]).__next__)
    assert again is None, again
    return "closed already" if error is None else type(error).__name__


def kill_caller(rng: random.Random, host: HostProcess) -> str:
    script = "\n".join(line[4:] for line in CALLER.replace("URL", host.url).splitlines())
    caller = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "MARK": MARK}, stdout=subprocess.PIPE
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == b"up\n"
    time.sleep(float(at_random(rng)))
    caller.kill()
    caller.wait(10)
    caller.stdout.close()
    # one that is being opened ends when its envs are built
    wait_until(lambda: marked() == {host.process.pid}, 60, "its session has ended")
    return "gone"


def main(whom: str, first: int, count: int) -> None:
    """Runs the rounds."""
    seen: Counter[str] = Counter()
    host = None if whom == "host" else HostProcess(GAME, "--grace", "0.1", env={"MARK": MARK})
    try:
        for seed in range(first, first + count):
            rng = random.Random(f"{whom} {seed}")
            print(f"{whom} {seed}", end=": ", flush=True)
            if host is None:
                said = kill_host(rng)
            else:
                said = (kill_worker if whom == "worker" else kill_caller)(rng, host)
            print(said, flush=True)
            seen[said] += 1
    finally:
        if host is not None:
            assert host.end() == 0, host.log
    assert not marked()
    print(dict(seen))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
