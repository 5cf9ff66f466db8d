# SPDX-License-Identifier: MIT
"""How long workers may take for what they are told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The most seconds that workers may take, by what they do; None: as long as it takes."""

    step: float | None = None
    reset: float | None = None
    call: float | None = None

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ValueError: a value is not a number of seconds.
        """
        for name in ("step", "reset", "call"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name}_timeout must be None or seconds > 0, got {seconds!r}")
