# SPDX-License-Identifier: MIT
"""Kills the peers of a caller that was killed: stopped processes cannot notice it themselves.

Run as a script, this is the watcher; it imports little, so that it starts in 10 ms.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from types import TracebackType


class Guard:
    """The caller's side of a watcher, which kills the sessions it was told when the caller dies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the caller
        )

    def watch(self, session: int) -> None:
        """Have the processes of `session` killed when the caller dies."""
        self._tell(session)

    def forget(self, session: int) -> None:
        """Watch `session` no longer: it has ended, and its number may be reused."""
        self._tell(-session)

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, number: int) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"%d\n" % number)
            self._process.stdin.flush()


def _kill_sessions(sessions: set[int]) -> None:
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(name)) in sessions:
                os.kill(int(name), signal.SIGKILL)


def main() -> None:
    """Read sessions from stdin; kill what is left of them when stdin ends."""
    sessions: set[int] = set()
    for line in sys.stdin:
        number = int(line)
        if number > 0:
            sessions.add(number)
        else:
            sessions.discard(-number)
    if sessions:
        _kill_sessions(sessions)
        _kill_sessions(sessions)  # processes that were forked meanwhile


if __name__ == "__main__":
    main()
