# SPDX-License-Identifier: MIT
"""Env directories that come with this package."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from envring.errors import SpecError

_ROOT = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Recipe:
    """An env directory of ours.

    Attributes:
        name: what it is called.
        title: what it holds, in a line.
        example: arguments for its factory that give an env.
        tested: whether this package's tests build and step it.
        directory: where it lies.
    """

    name: str
    title: str
    example: str
    tested: bool
    directory: Path


def available() -> list[Recipe]:
    """All recipes, by name."""
    index = tomllib.loads((_ROOT / "index.toml").read_text(encoding="utf-8"))
    return [
        Recipe(name, each["title"], each["example"], each["tested"], _ROOT / name)
        for name, each in sorted(index.items())
    ]


def find(name: str) -> Recipe:
    """One recipe.

    Raises:
        SpecError: if there is none of that name.
    """
    every = {recipe.name: recipe for recipe in available()}
    if name not in every:
        raise SpecError(f"There is no recipe {name!r}; there are {', '.join(every)}.")
    return every[name]
