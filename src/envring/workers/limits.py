# SPDX-License-Identifier: MIT
"""How long workers may take for what they are told, and how often they may die."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
        most: restarts of one worker within `window`; 0: a death is an error.
        window: seconds.
        every: "episodes" and "steps" after which a worker is replaced, or None in their place;
            None: it is never replaced as planned.
    """

    most: int
    window: float
    every: Mapping[str, int | None] | None = None

    @classmethod
    def read(
        cls,
        on_worker_death: str,
        max_restarts: int,
        restart_window: float,
        restart_every: Mapping[str, int] | None = None,
    ) -> RestartPolicy | None:
        """The policy that arguments of an env ask for; None: nothing is ever started again.

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
        every = None if restart_every is None else _read_every(restart_every)
        if on_worker_death == "raise":
            return None if every is None else cls(0, restart_window, every)
        return cls(max_restarts, restart_window, every)


def _read_every(given: Any) -> dict[str, int | None]:
    names = ("episodes", "steps")
    good = isinstance(given, Mapping) and len(given) > 0 and given.keys() <= set(names)
    if not good or not all(type(each) is int and each > 0 for each in given.values()):
        raise ValueError(
            'restart_every must be None, or a dict such as {"episodes": 100} or {"steps": 1000000} '
            f"with integers >= 1, got {given!r}"
        )
    return {name: given.get(name) for name in names}
