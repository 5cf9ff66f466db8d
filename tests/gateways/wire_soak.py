# SPDX-License-Identifier: MIT
"""Callers of another wire, some of whom are killed: `wire_soak.py WIRE SECONDS CALLERS`.

WIRE is "grpc" or "openenv". Callers check what they get, go in the middle of episodes, and send
bytes that mean nothing; processes of theirs and workers of the host are killed. At the end the
host has what it had at the beginning.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from envring import EnvringError, EnvSource
from envring.callers.clients import client
from envring.transport.addresses import parse
from support.hosts import running
from support.processes import wait_until

COUNTING = "envring.testing:CountingEnv"
EACH = 8  # callers of a process
KILLS_SECONDS = 1.0  # between two kills
MOST_GROWTH = 32 << 20  # bytes
SPARE = 4  # descriptors and threads that a host may keep for its next callers


def play(url: str, stop: threading.Event) -> None:
    """One caller after the other; raises what is not a typed error."""
    source = EnvSource.elsewhere(COUNTING)
    while not stop.is_set():
        with contextlib.suppress(EnvringError):
            env = client(parse(url), source)
            try:
                _episodes(env)
            finally:
                env.close()


def _episodes(env) -> None:
    for _ in range(random.randrange(1, 4)):
        obs, info = env.reset(seed=random.randrange(9))
        assert info == {"round": obs[1]} and obs[2] == 0
        for t in range(1, random.randrange(2, 60)):
            action = random.randrange(8)
            after, reward, terminated, truncated, info = env.step(action)
            assert after.tolist() == [0, obs[1], t, action], (obs, after)
            assert reward == t / 8 and info == {"t": t} and not truncated
            if terminated:
                break
        if random.random() < 0.2:
            _send_nonsense(env)


def _send_nonsense(env) -> None:
    nonsense = random.randbytes(random.randrange(1, 99))
    if hasattr(env, "_stream"):
        env._stream.ask(nonsense)
    else:
        env._socket.send(random.choice([nonsense, nonsense.hex(), "[" * 999]))
        env._socket.recv(timeout=20)


def players(url: str, count: int) -> None:
    """Callers of one process, until it is killed or stdin ends."""
    stop = threading.Event()
    failed = []

    def run() -> None:
        try:
            play(url, stop)
        except BaseException as error:
            failed.append(error)
            os.write(2, repr(error).encode())
            os._exit(3)

    for _ in range(count):
        threading.Thread(target=run, daemon=True).start()
    sys.stdin.read()
    stop.set()
    time.sleep(1.0)
    os._exit(0)


class Watched:
    """A host, looked at from outside."""

    def __init__(self, host) -> None:
        self.pid, self.metrics = host.process.pid, host.urls[-1]

    def sessions(self) -> int:
        with urllib.request.urlopen(f"{self.metrics}/metrics", timeout=20) as answer:
            return int(re.search(rb"\nenvring_sessions (\d+)", answer.read())[1])

    def workers(self) -> list[int]:
        found = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
        return found

    def memory(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def holds(self) -> dict[str, int]:
        return {
            "descriptors": len(os.listdir(f"/proc/{self.pid}/fd")),
            "threads": len(os.listdir(f"/proc/{self.pid}/task")),
        }

    def holds_no_more_than(self, before: dict[str, int]) -> bool:
        return all(count <= before[what] + SPARE for what, count in self.holds().items())


def main(wire: str, seconds: float, callers: int) -> None:
    """Runs it, and prints what was seen."""
    listen = {"grpc": "grpc://127.0.0.1:0", "openenv": "http://127.0.0.1:0"}[wire]
    options = ("--listen", listen, "--metrics", "0", "--max-sessions", str(callers))
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(running(COUNTING, *options))
        url = host.url.replace("http", "openenv")
        watched = Watched(host)
        before = watched.holds()

        def start() -> subprocess.Popen[bytes]:
            argv = [sys.executable, __file__, "play", url, str(EACH)]
            made = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            stack.callback(made.kill)
            return made

        def end(process: subprocess.Popen[bytes]) -> None:
            if process.poll() is None:
                process.kill()
            _, errors = process.communicate()
            assert process.returncode == -signal.SIGKILL, (process.returncode, errors[-2000:])

        procs = [start() for _ in range(callers // EACH)]
        began, early, most = time.monotonic(), 0, 0
        while time.monotonic() - began < seconds:
            time.sleep(KILLS_SECONDS)
            most = max(most, watched.sessions())
            if random.random() < 0.5:
                end(procs.pop(random.randrange(len(procs))))
                procs.append(start())
            for pid in random.sample(found := watched.workers(), min(1, len(found))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not early and time.monotonic() - began > seconds / 3:
                early = watched.memory()
        late = watched.memory()
        for process in procs:
            end(process)
        wait_until(lambda: not watched.sessions() and not watched.workers(), 30, "all has ended")
        print(
            f"{wire}: at most {most} sessions; memory {early >> 20} MiB, then {late >> 20} MiB; "
            f"{watched.holds()} at the end, {before} at the beginning"
        )
        assert late - early < MOST_GROWTH
        wait_until(lambda: watched.holds_no_more_than(before), 10, "it has what it had")
        assert host.process.poll() is None
        assert host.end() == 0, host.log


if __name__ == "__main__":
    if sys.argv[1] == "play":
        players(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
