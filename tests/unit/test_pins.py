# SPDX-License-Identifier: MIT
"""Nothing that the tests install may change by itself: each release is written down."""

import os
import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import foreign_prefixes

ROOT = Path(__file__).parents[2]
RELEASES = os.environ.get("ENVRING_TEST_RELEASES", "lock")
FILES = {
    "lock": ("lock.txt", ("bench", "test", "dev")),
    "oldest": ("oldest.txt", ("bench", "test")),
}


def pins(name):
    """The requirements of a file, by their package's name."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    stated = [Requirement(line) for line in lines if re.match("[a-z]", line)]
    assert all(str(each.specifier).startswith("==") and "*" not in str(each) for each in stated)
    return {canonicalize_name(each.name): each for each in stated}


def needed(names):
    """The names of these and of all that they need, here."""
    seen, waiting = set(), [Requirement(name) for name in names]
    while waiting:
        asked = waiting.pop()
        key = (canonicalize_name(asked.name), frozenset(asked.extras))
        if key in seen:
            continue
        seen.add(key)
        for line in metadata.requires(asked.name) or ():
            each = Requirement(line)
            extras = asked.extras or {""}
            if not each.marker or any(each.marker.evaluate({"extra": name}) for name in extras):
                waiting.append(each)
    return {name for name, _ in seen}


@pytest.mark.skipif(RELEASES == "newest", reason="the newest releases are in no file")
def test_all_that_is_installed_is_pinned():
    file, extras = FILES[RELEASES]
    assert needed([f"envring[{','.join(extras)}]"]) - set(pins(file)) == {"envring"}


@pytest.mark.parametrize("file", ["lock.txt", "oldest-build.txt"])
def test_all_that_builds_is_pinned(file):
    with open(ROOT / "pyproject.toml", "rb") as stream:
        requires = tomllib.load(stream)["build-system"]["requires"]
    assert {canonicalize_name(Requirement(each).name) for each in requires} <= set(pins(file))


def test_recipes_of_the_tests_are_pinned():
    every = [each for recipe in foreign_prefixes.RECIPES.values() for each in recipe.packages]
    every += [each for recipe in foreign_prefixes.RECIPES.values() for each in recipe.legacy]
    every += [each for recipe in foreign_prefixes.RECIPES.values() for each in recipe.tools]
    assert [each for each in every if not re.fullmatch(r"[\w-]+==[\d.]+", each, re.I)] == []
    assert pins("recipes.txt")
