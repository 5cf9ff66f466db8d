# SPDX-License-Identifier: MIT
"""What a workload is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium


@dataclass(frozen=True)
class Workload:
    """One environment to be measured.

    Attributes:
        name: Its name on the command line and in JSON.
        title: Its name in tables and pictures.
        make: Builds one env.
        endless: True if no episode ever ends, so that no step needs to be checked for a reset.
        needs: The import name of a package that its envs need, or None.
        requirement: The arguments of `pip install` for that package.
        groups: What it shows: "overhead" (the env does next to nothing), "timed" (steps of known
            length), "waits" (steps that sleep), "real" (envs that people train on).
        about: What one step does, in a few words.
        start_seconds: Processor seconds to make and seed one env, if that is worth planning for.
    """

    name: str
    title: str
    make: Callable[[], gymnasium.Env[Any, Any]]
    endless: bool = True
    needs: str | None = None
    requirement: str = ""
    groups: tuple[str, ...] = ()
    about: str = ""
    start_seconds: float = 0.0

    @property
    def absent(self) -> str | None:
        """The command that installs what it needs, or None if nothing is missing."""
        if self.needs is None or importlib.util.find_spec(self.needs) is not None:
            return None
        return f"pip install '{self.requirement}'"
