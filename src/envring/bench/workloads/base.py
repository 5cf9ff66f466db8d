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
        name: What the command line and the JSON call it.
        title: What tables and pictures call it.
        make: Builds one env.
        endless: True when no episode ever ends, so that no step needs to be checked for a reset.
        needs: The import name of a package that its envs need, or None.
        requirement: What `pip install` needs to be told to bring that package.
        groups: What it is good for: "overhead" (the env does next to nothing), "timed" (steps of
            known length), "waits" (steps that sleep), "real" (envs that people train on).
        about: What one step does, in a few words.
        start_seconds: Processor time that one env takes to be made and to be seeded, where that is
            worth planning for.
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
        """The command that installs what it needs, or None where nothing is missing."""
        if self.needs is None or importlib.util.find_spec(self.needs) is not None:
            return None
        return f"pip install '{self.requirement}'"
