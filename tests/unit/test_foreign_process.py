# SPDX-License-Identifier: MIT
"""Processes of other interpreters."""

import os
import subprocess
from types import SimpleNamespace
from typing import Any

from envring.workers.foreign_process import ForeignProcess


def test_one_that_another_thread_has_reaped() -> None:
    popen = subprocess.Popen(["true"])
    launch: Any = SimpleNamespace(stop_argv=None)
    process = ForeignProcess(popen, "worker", launch)
    os.waitpid(popen.pid, 0)
    process.join(1.0)
    assert not process.is_alive()
