# SPDX-License-Identifier: MIT
"""64 callers of one host at the same time; none disturbs another."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.hosts import running
from support.launcher_conformance import FILE
from support.processes import wait_until

SCRIPT = Path(__file__).with_name("many_callers.py")
TROUBLES = ("-", "raise", "kill", "hang")  # one process of callers for each
CALLERS = 64

pytestmark = pytest.mark.long  # 64 workers take a while to start


def children(pid: int) -> int:
    """How many processes a process has started and not seen end."""
    found = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += len((task / "children").read_text().split())
    return found


def test_64_callers_have_the_values_of_local_envs_and_leave_nothing():
    each = CALLERS // len(TROUBLES)
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[1]), *sys.path]))
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(running(f"{FILE}:make", "--grace", "0.1"))
        callers = []
        for number, trouble in enumerate(TROUBLES):
            caller = subprocess.Popen(
                [sys.executable, str(SCRIPT), host.url, str(number * each), str(each), trouble],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
            )
            stack.callback(caller.kill)
            callers.append(stack.enter_context(caller))
        for caller in callers:
            assert caller.stdout.readline() == b"open\n", caller.stderr.read()
        assert children(host.process.pid) == CALLERS
        for caller in callers:
            caller.stdin.write(b"go\n")
            caller.stdin.flush()
        for caller in callers:
            _, errors = caller.communicate(timeout=40)
            assert caller.returncode == 0, errors.decode()
        wait_until(lambda: not children(host.process.pid), 10, "no worker is left")
        assert host.end() == 0, host.log
