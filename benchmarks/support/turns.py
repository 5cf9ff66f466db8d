# SPDX-License-Identifier: MIT
"""Peers that take turns: each in processes of its own, which answer lines on stdin."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from envring.bench.measuring import machine
from envring.bench.measuring.samples import QUIET
from envring.bench.measuring.stats import Spread, paired_ratios, spread
from envring.launchers import environment

REPEATS = 2
READY_SECONDS, ANSWER_SECONDS = 60.0, 30.0


class PeerFailed(Exception):
    """A peer raised, died or did not answer."""


class Process:
    """A peer in its process.

    Args:
        argv: the command.
        frozen: whether it is stopped between requests, because it never rests by itself.
    """

    def __init__(self, argv: Sequence[str], frozen: bool = False) -> None:
        self.argv = argv
        self.frozen = frozen
        self.family: set[int] = set()
        self._buffer = b""
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (kill closes it)
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment.clean(os.environ),
            start_new_session=True,
        )

    def ready(self) -> None:
        """Waits until it is constructed."""
        self.answer(READY_SECONDS)
        self.family = machine.family(self.process.pid)
        if self.frozen:
            self.freeze()

    def freeze(self) -> None:
        """Stops it until it is thawed."""
        self.family = self.family or machine.family(self.process.pid)
        self.signal(signal.SIGSTOP)

    def signal(self, number: signal.Signals) -> None:
        """Signals all its processes, except those in sessions of their own."""
        os.killpg(self.process.pid, number)

    def ask(self, line: str) -> dict[str, Any]:
        """Sends a line and waits for the answer."""
        self.send(line)
        return self.answer(ANSWER_SECONDS)

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, timeout: float) -> dict[str, Any]:
        """Its next answer.

        Raises:
            PeerFailed: it does not answer in time, or has ended.
        """
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = max(deadline - time.monotonic(), 0.0)
            chunk = os.read(fd, 65536) if select.select([fd], [], [], left)[0] else b""
            if not chunk:
                text = os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")
                raise PeerFailed(f"no answer from {' '.join(self.argv)}\n{text[-2000:]}")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return dict(json.loads(line))

    def close(self) -> None:
        """Lets it end by itself, then makes sure that it has."""
        if self.frozen:
            self.signal(signal.SIGKILL)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(10.0)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


@dataclass
class Rates:
    """Steps per second by peer and round, and the processors that other programs held."""

    by_peer: dict[str, dict[int, float]] = field(default_factory=dict)
    outside: list[float] = field(default_factory=list)

    def ratio(self, over: str, under: str, scale: float = 1.0) -> Spread | None:
        """The rate of `over` over `scale` times that of `under`, within rounds."""
        pairs = paired_ratios(self.by_peer[over], self.by_peer[under])
        return spread(each / scale for each in pairs)


@dataclass(frozen=True)
class Verdict:
    """A goal and what was measured for it."""

    what: str
    figure: Spread | None
    unit: str = ""
    goal: float | None = None
    at_most: bool = False

    @property
    def passed(self) -> bool:
        """Whether the goal is met; True if there is no goal."""
        if self.goal is None or self.figure is None:
            return self.goal is None
        median = self.figure.median
        return median <= self.goal if self.at_most else median >= self.goal

    def __str__(self) -> str:
        """A line of the table."""
        if self.figure is None:
            return f"{'-':>10}  {self.what}"
        low, high = self.figure.low, self.figure.high
        shown = f"{self.figure.median:>10.3g}{self.unit:2} ({low:.3g} to {high:.3g})"
        sign = "<=" if self.at_most else ">="
        aim = "" if self.goal is None else f"{sign} {self.goal:g}{self.unit}"
        verdict = "" if self.goal is None else "PASS" if self.passed else "MISS"
        return f"{shown:34} {aim:10} {verdict:5} {self.what}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Turn:
    """The processes that work at the same time.

    Attributes:
        asked: those whose steps are counted.
        serving: others that work for them.
    """

    asked: tuple[Process, ...]
    serving: tuple[Process, ...] = ()

    def take(self, seconds: float, beside: Iterable[int] = ()) -> tuple[float, float]:
        """Steps per second, and the processors that other programs held meanwhile.

        Args:
            seconds: how long to step.
            beside: ids of processes that belong to the measurement, too.
        """
        ours = {os.getpid(), *beside}.union(*(each.family for each in (*self.asked, *self.serving)))
        with thawed([each for each in (*self.asked, *self.serving) if each.frozen]):
            busy, own = machine.busy_seconds(), machine.cpu_seconds(ours)
            start = time.perf_counter()
            for each in self.asked:
                each.send(str(seconds))
            answers = [each.answer(ANSWER_SECONDS) for each in self.asked]
            elapsed = time.perf_counter() - start
            own, after = machine.cpu_seconds(ours) - own, machine.busy_seconds()
        rate = sum(each["steps"] / each["seconds"] for each in answers)
        if busy is None or after is None:
            return rate, 0.0
        return rate, max(0.0, (after - busy - own) / elapsed)


def quietest(turn: Turn, seconds: float, beside: Iterable[int] = ()) -> tuple[float, float]:
    """The least disturbed of several tries; see `Turn.take`."""
    best = turn.take(seconds, beside)
    for _ in range(REPEATS):
        if best[1] > QUIET:
            best = min(best, turn.take(seconds, beside), key=lambda sample: sample[1])
    return best


@contextmanager
def thawed(peers: Sequence[Process]) -> Iterator[None]:
    """Lets frozen peers run for a while."""
    for peer in peers:
        peer.signal(signal.SIGCONT)
    yield
    for peer in peers:
        peer.freeze()
