# SPDX-License-Identifier: MIT
"""Env directories that come with this package."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from envring.errors import SpecError

_ALIASES = {"atari": "ale"}  # Portal-Env's
_ROOT = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Recipe:
    """An env directory that comes with this package.

    Attributes:
        name: its name, for "recipe:NAME".
        title: what it holds, in a line.
        example: arguments with which its factory makes an env.
        tested: whether this package's tests build and step it.
        directory: its path.
    """

    name: str
    title: str
    example: str
    tested: bool
    directory: Path


def available() -> list[Recipe]:
    """Returns all recipes, sorted by name."""
    index = tomllib.loads((_ROOT / "index.toml").read_text(encoding="utf-8"))
    return [
        Recipe(name, each["title"], each["example"], each["tested"], _ROOT / name)
        for name, each in sorted(index.items())
    ]


def find(name: str) -> Recipe:
    """Returns one recipe.

    Raises:
        SpecError: there is no recipe of that name.
    """
    name = _ALIASES.get(name, name)
    every = {recipe.name: recipe for recipe in available()}
    if name not in every:
        raise SpecError(f"There is no recipe {name!r}; the recipes are {', '.join(every)}.")
    return every[name]
