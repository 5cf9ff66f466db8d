# SPDX-License-Identifier: MIT
"""How long workers may take for what they are told, and how often they may die."""

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


@dataclass(frozen=True)
class RestartPolicy:
    """How often a worker that died is started again.

    Attributes:
        most: restarts of one worker within `window`.
        window: seconds.
    """

    most: int
    window: float

    @classmethod
    def read(
        cls, on_worker_death: str, max_restarts: int, restart_window: float
    ) -> RestartPolicy | None:
        """The policy that arguments of a vector env ask for; None: a death is an error.

        Raises:
            ValueError: an argument has a value that it cannot have.
        """
        if on_worker_death not in ("raise", "restart"):
            raise ValueError(
                f"on_worker_death must be 'raise' or 'restart', got {on_worker_death!r}"
            )
        if isinstance(max_restarts, bool) or not isinstance(max_restarts, int) or max_restarts < 1:
            raise ValueError(f"max_restarts must be an integer >= 1, got {max_restarts!r}")
        if not restart_window > 0:
            raise ValueError(f"restart_window must be seconds > 0, got {restart_window!r}")
        return cls(max_restarts, restart_window) if on_worker_death == "restart" else None
