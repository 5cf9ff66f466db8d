# SPDX-License-Identifier: MIT
"""The caller's side of a peer's process: start it, ask it with a deadline, leave nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from envring.bench.measuring import machine

# Not with -m: spawned workers would import the main module again.
_COMMAND = "from envring.bench.measuring.serve import main; main()"


class PeerFailed(Exception):
    """The peer raised, died or did not answer in time; the text says which."""


class PeerProcess:
    """One peer, constructed in a fresh process in a session of its own.

    The constructor only starts the process: `load` waits until it has imported what it needs,
    `construct` builds the environments, and `ready` does both. Between requests the process is
    blocked on its pipe; what its workers do then is up to the peer, unless it is stopped with
    `pause`.

    Args:
        peer: The name of an adapter.
        workload: The name of a workload.
        num_envs: How many envs.
        options: Keyword arguments of the vector environment's constructor.
        think: Seconds for which the caller computes after each step.
    """

    def __init__(
        self,
        peer: str,
        workload: str,
        num_envs: int,
        options: Mapping[str, Any],
        think: float = 0.0,
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (kill closes it)
        self._replies, write_end = os.pipe()
        self._buffer = b""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, str(write_end)],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(write_end,),
                start_new_session=True,
            )
        except OSError:
            os.close(self._replies)
            self._log.close()
            raise
        finally:
            os.close(write_end)
        self._family = {self._process.pid}
        self._send(
            {
                "peer": peer,
                "workload": workload,
                "num_envs": num_envs,
                "options": dict(options),
                "think": think,
            }
        )

    @property
    def pid(self) -> int:
        """The id of the process, and of its session."""
        return self._process.pid

    @property
    def processes(self) -> int:
        """How many processes the peer had when they were counted last."""
        return len(self._family)

    def load(self, timeout: float) -> None:
        """Wait until the peer has imported what it needs.

        Raises:
            PeerFailed: if it raised, died, or took longer than `timeout` seconds.
        """
        self._receive(timeout, "import")

    def construct(self, timeout: float) -> float:
        """Construct and reset the peer; return the seconds of its construction.

        Raises:
            PeerFailed: if it raised, died, or took longer than `timeout` seconds.
        """
        self._send({"op": "construct"})
        seconds = float(self._receive(timeout, "construct")["seconds"])
        self._family = machine.family(self._process.pid)
        return seconds

    def ready(self, timeout: float) -> float:
        """`load` and `construct`; return the seconds of its construction.

        Raises:
            PeerFailed: if it raised, died, or took longer than `timeout` seconds.
        """
        until = time.monotonic() + timeout
        self.load(timeout)
        return self.construct(max(0.0, until - time.monotonic()))

    def pause(self) -> None:
        """Stop all processes of the peer, so that it cannot disturb others, even if it spins."""
        machine.send(signal.SIGSTOP, self._family)
        # Stopped processes do not fork: these are all.
        self._family = machine.family(self._process.pid)
        machine.send(signal.SIGSTOP, self._family)

    def resume(self) -> None:
        """Continue the peer after `pause`."""
        machine.send(signal.SIGCONT, self._family)

    def memory_bytes(self) -> int | None:
        """Memory of all processes of the peer, shared pages counted once; None if unknown."""
        return machine.memory_bytes(self._family)

    def ask(self, timeout: float, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Returns:
            The answer, with `outside`: the processors that other programs kept busy (None if
            unknown).

        Raises:
            PeerFailed: if the peer raised, died, or took longer than `timeout` seconds.
        """
        busy, own, start = machine.busy_seconds(), self._cpu_seconds(), time.perf_counter()
        self._send(request)
        answer = self._receive(timeout, str(request["op"]))
        elapsed = time.perf_counter() - start
        own, after = self._cpu_seconds() - own, machine.busy_seconds()
        answer["outside"] = (
            None
            if busy is None or after is None
            else round(max(0.0, (after - busy - own) / elapsed), 4)
        )
        return answer

    def close(self, timeout: float) -> float:
        """Close the peer, wait for its process to end, and return the seconds its `close()` took.

        In any case, no process of the peer is left.

        Raises:
            PeerFailed: if it raised, died, took longer than `timeout` seconds, or left a process.
        """
        try:
            self._send({"op": "close"})
            seconds = float(self._receive(timeout, "close")["seconds"])
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                raise PeerFailed(f"closed, but did not exit within {timeout:.0f} s") from None
            self._expect_none_left(time.monotonic() + 2.0)
            return seconds
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill what is left of the peer; further calls do nothing."""
        if self._log.closed:
            return
        machine.kill(self._alive())
        self._process.kill()
        self._process.wait()
        # Look again, for a process that was forked during the first look.
        machine.kill(self._alive())
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        os.close(self._replies)
        self._log.close()

    def _alive(self) -> set[int]:
        """Processes of the peer that still run."""
        pid = self._process.pid
        # Once it has been waited for, its id may belong to another process.
        reaped = set() if self._process.returncode is None else {pid}
        return machine.family(pid) - reaped

    def _cpu_seconds(self) -> float:
        return machine.cpu_seconds(self._family) + time.process_time()

    def _expect_none_left(self, deadline: float) -> None:
        while left := self._alive():
            if time.monotonic() > deadline:
                raise PeerFailed(f"closed, but left {len(left)} process(es) behind")
            select.select([], [], [], 0.01)

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # _receive says how it died
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def _receive(self, timeout: float, doing: str) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            # Workers may hold the pipe open after the peer's death: look at the process too.
            gone = self._process.poll() is not None
            if select.select([self._replies], [], [], 0.0 if gone else 0.1)[0]:
                if chunk := os.read(self._replies, 65536):
                    self._buffer += chunk
                    continue
                gone = True
            if gone:
                raise PeerFailed(f"crashed in {doing} ({self._exit_text()}){self._log_tail()}")
            if time.monotonic() > deadline:
                raise PeerFailed(
                    f"hung in {doing}: no answer within {timeout:.0f} s{self._log_tail()}"
                )
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(f"failed in {doing}: {answer['error']}")
        return answer

    def _exit_text(self) -> str:
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def _log_tail(self) -> str:
        # Not read(): the peer writes at the same file position.
        text = os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")
        lines = text.strip().splitlines()
        return ": " + lines[-1][:300] if lines else ""
