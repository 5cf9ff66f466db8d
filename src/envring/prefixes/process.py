# SPDX-License-Identifier: MIT
"""Programs that a build runs: their output goes to the log, and they end with the builder."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from envring.prefixes.progress import Progress, tail

_POLL = 0.05  # seconds
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL

# Runs a program that the kernel kills when the builder is killed: prctl(PR_SET_PDEATHSIG, SIGKILL).
_LEASH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit("%s: %s" % (sys.argv[2], error.strerror))
"""


class ProgramFailed(Exception):
    """A program that failed.

    Attributes:
        how: "failed with exit code 1", "was killed by signal 9", "took too long".
        tail: its last lines.
    """

    def __init__(self, how: str, tail: str) -> None:
        """The arguments are the attributes."""
        self.how = how
        self.tail = tail
        super().__init__(how, tail)


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    log: Path,
    lock: int,
    deadline: float,
    progress: Progress,
    terminal: bool = False,
) -> None:
    """Runs a program to its end.

    Args:
        argv: the program and its arguments.
        cwd: its working directory.
        environ: all its environment variables.
        log: file to append its output to.
        lock: descriptor of the lock that it holds as long as it lives.
        deadline: time.monotonic() at which it is killed.
        progress: shows its last line.
        terminal: whether the program may ask the user, if there is a terminal: then it reads from
            there, and its output is shown as it comes.

    Raises:
        ProgramFailed: it does not exit with 0, or takes too long.
        OSError: it cannot be started or the log cannot be written.
    """
    asks = terminal and os.isatty(0) and os.isatty(2)
    with open(log, "ab") as output:
        output.write(f"\n$ {shlex.join(argv)}\n".encode())
        output.flush()
        start = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *argv],
            cwd=cwd,
            env=dict(environ),
            stdin=None if asks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if asks else output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            # in a session of its own it would have no terminal
            start_new_session=not asks,
        )
        try:
            if process.stdout is not None:
                progress.clear()
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise ProgramFailed("took too long", tail(log, start=start))
                if process.stdout is not None:
                    _show(process.stdout.fileno(), output, _POLL)
                    continue
                progress.tick(tail(log, 1, start))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL)
            if process.stdout is not None:
                while _show(process.stdout.fileno(), output, 0.0):
                    pass
        finally:
            _end(process, group=not asks)
            if process.stdout is not None:
                process.stdout.close()
    if process.returncode != 0:
        code = process.returncode
        how = f"failed with exit code {code}" if code > 0 else f"was killed by signal {-code}"
        raise ProgramFailed(how, tail(log, start=start))


def _show(fd: int, log: BinaryIO, seconds: float) -> bool:
    """Copies output to the terminal and to the log; returns whether there was some."""
    if not select.select([fd], [], [], seconds)[0]:
        return False
    data = os.read(fd, 65536)
    os.write(2, data)
    log.write(data)
    log.flush()
    if not data:
        time.sleep(seconds)  # closed, and still running
    return bool(data)


def _end(process: subprocess.Popen[bytes], group: bool) -> None:
    """Ends a program that still runs, and its children if it leads a group."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
