# SPDX-License-Identifier: MIT
"""What workers of the caller's interpreter import: little more than the env that goes wrong."""

from __future__ import annotations

from typing import Any

from matrix import plain_faults

WRONG = 3  # the env


def arguments(index: int, folder: str) -> dict[str, Any]:
    """Of env `index`: the third one is described, the fourth one goes wrong."""
    places: dict[int, list[str]] = {
        2: ["handshake"],
        WRONG: ["constructor", "reset", "step", "publish", "render", "call", "close", "idle"],
    }
    return {"index": index, "folder": folder, "places": places.get(index, [])}


class Made:
    """An env function; to come out of its pickle is part of a worker's start."""

    def __init__(self, index: int, folder: str) -> None:
        """Of env `index`."""
        self.index, self.folder = index, folder

    def __call__(self) -> Any:
        """The env."""
        return plain_faults.make(**arguments(self.index, self.folder))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In a worker that was not forked."""
        self.__dict__.update(state)
        if self.index == WRONG:
            plain_faults.passing(self.folder, "launch")
