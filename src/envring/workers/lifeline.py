# SPDX-License-Identifier: MIT
"""How workers notice that the caller's process ended."""

from __future__ import annotations

import os
from pathlib import Path

from envring.transport.forked import own

LIBRARY = Path(__file__).resolve().parent.parent / "_foreign" / "libenvring.so"
GRACE = 1.0  # seconds that a worker has to close its envs once the caller is gone


class Lifeline:
    """A pipe whose write end closes when this process ends: workers watch the read end."""

    def __init__(self) -> None:
        """Makes the pipe."""
        self.read_end, self.write_end = os.pipe()
        own(self)

    def close(self) -> None:
        """Closes what is open."""
        for name in ("read_end", "write_end"):
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)
