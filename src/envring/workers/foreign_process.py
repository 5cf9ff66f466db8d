# SPDX-License-Identifier: MIT
"""A subprocess that leads a process group, ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess

from envring.launchers.base import Launch


class ForeignProcess:
    """A subprocess with the face of multiprocessing's process objects.

    Attributes:
        name: for people.
    """

    def __init__(self, popen: subprocess.Popen[bytes], name: str, launch: Launch) -> None:
        """Takes the subprocess over."""
        self.name = name
        self._popen = popen
        self._stop_argv = launch.stop_argv

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._popen.pid

    @property
    def exitcode(self) -> int | None:
        """Its exit code, minus the signal that ended it, or None while it runs."""
        if self._popen.returncode is None and self._ended():
            # Until it is reaped no other process can get its number, which is its group's as well.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        return self._popen.returncode

    def _ended(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._popen.pid, flags) is not None
        except ChildProcessError:
            return True  # somebody else reaped it

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Waits for its end; what it started itself ends with it."""
        if self._popen.returncode is not None:
            return
        try:
            pidfd = os.pidfd_open(self._popen.pid)
        except ProcessLookupError:  # another thread, or somebody else, has reaped it
            self._popen.wait()
            return
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.poll(None if timeout is None else timeout * 1000)
        finally:
            os.close(pidfd)
        _ = self.exitcode

    def terminate(self) -> None:
        """Asks it to end, by SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it and what it started, by SIGKILL."""
        self._signal(signal.SIGKILL)
        if self._stop_argv is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    self._stop_argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=10,
                    check=False,
                )
            self._stop_argv = None

    def _signal(self, number: int) -> None:
        if self.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)
