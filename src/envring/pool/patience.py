# SPDX-License-Identifier: MIT
"""When a pool gives up the batch that its workers owe."""

from __future__ import annotations

import time

from envring.workers.limits import Limits


class Patience:
    """Says whether the workers took longer than they may.

    Time counts from the first wait for a batch: a caller may think before it asks.

    Attributes:
        name: what the batch is: "step", "reset" or "call".
    """

    def __init__(self, limits: Limits) -> None:
        """Begins with a step."""
        self.name = "step"
        self._limits = limits
        self._batch = -1
        self._since: float | None = None

    def begin(self, message: str = "step") -> None:
        """A batch or message begins, of that name. A step may begin without this."""
        self.name = message if message in ("step", "reset") else "call"
        self._since = None

    @property
    def seconds(self) -> float | None:
        """What the batch may take."""
        seconds: float | None = getattr(self._limits, self.name)
        return seconds

    def is_over(self, batch: int) -> bool:
        """Whether the batch of that number, which is waited for, took longer than it may."""
        now = time.monotonic()
        if self._since is None or batch != self._batch:
            self._batch, self._since = batch, now
        seconds = self.seconds
        return seconds is not None and now - self._since >= seconds
