# SPDX-License-Identifier: MIT
"""Programs that compute beside the peers, as a learner's threads or another job would."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from envring.bench.measuring.orphans import Guard

_LOOP = "while True: pass"


@contextlib.contextmanager
def company(count: int, guard: Guard) -> Iterator[None]:
    """Runs so many busy loops, each a process of its own session; none outlives the caller."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            # they start as the peers do; a session of its own is a scheduling group of its own
            loop = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LOOP], start_new_session=True
            )
            stack.callback(guard.forget, loop.pid)
            stack.callback(loop.wait)
            stack.callback(loop.kill)
            guard.watch(loop.pid)
        yield
