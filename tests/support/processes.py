# SPDX-License-Identifier: MIT
"""Waiting for processes and files, and running a caller of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from envring.testing import CountingEnv, assert_same_batch

CONTEXTS = ["fork", "forkserver", "spawn"]


def counting_fns(count: int = 2, **kwargs: Any) -> list[Callable[[], CountingEnv]]:
    """Env functions of counting environments with long episodes."""
    kwargs.setdefault("lengths", (10**6,))
    return [lambda i=i: CountingEnv(i, **kwargs) for i in range(count)]  # type: ignore[misc]


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll until the condition is true; return what it returned."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.002)


def read_pid(path: Path, seconds: float = 20.0) -> int:
    """Wait for a file that holds a process id."""
    return int(wait_until(lambda: path.exists() and path.read_text(), seconds, f"{path} is there"))


def alive(pid: int) -> bool:
    """Whether the process runs: exists and is no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rsplit(")", 1)[1].split()[0] not in "ZX"


def assert_gone(pid: int, seconds: float) -> None:
    """Wait until the process has ended; one that has not is killed, lest it outlive the tests."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        ended = poll.poll(seconds * 1000)
        if not ended:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    finally:
        os.close(fd)
    assert ended, f"process {pid} still runs after {seconds} s"


class Caller:
    """A Python process of its own that runs a script; the script's helpers are these tests'."""

    def __init__(self, script: str, *arguments: Any) -> None:
        tests = Path(__file__).parents[1]
        # Not os.environ's own PYTHONPATH alone: the package may be found by it only.
        path = os.pathsep.join([str(tests), *filter(None, sys.path)])
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"},
            start_new_session=True,
        )
        self._read = b""  # of what it printed, and not yet a line that was asked for

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(5)
        # No communicate(): whoever inherited the pipes may live on.
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def line(self, seconds: float = 20.0) -> str:
        """The next line the script prints."""
        assert self.process.stdout is not None
        # Not readline(): it may take the next line too, and poll() waits for what was taken.
        stdout = self.process.stdout.fileno()
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        until = time.monotonic() + seconds
        while b"\n" not in self._read:
            left = max(until - time.monotonic(), 0)
            assert poll.poll(left * 1000), f"the script printed nothing for {seconds} s"
            piece = os.read(stdout, 1 << 16)
            if not piece:
                raise AssertionError(f"the script ended: {self.process.communicate()[1]}")
            self._read += piece
        line, self._read = self._read.split(b"\n", 1)
        return line.decode().strip()

    def finish(self, seconds: float = 20.0) -> tuple[int, str, str]:
        """Wait for its end; exit code, rest of stdout, stderr."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, self._read.decode() + out, err


def assert_usable(envs: Any, t: int = 1) -> None:
    """Nothing was stepped by what went before, and stepping works."""
    observation = envs.step(np.array([4, 5, 6]))[0]
    expected = [[i, 0, t, 4 + i] for i in range(3)]
    assert_same_batch(observation, np.array(expected, np.float32))


def peak_memory() -> int:
    """Bytes of the most memory that this process ever had."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
