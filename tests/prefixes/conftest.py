# SPDX-License-Identifier: MIT
"""A cache of each test's own, a time limit, channels, and a stand-in for micromamba."""

from __future__ import annotations

import os
import sys

import pytest

from envring.testing import deadline
from prefixes import kept
from prefixes.solving import Solving
from support import local_channel


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    """Builds what takes long, outside of any test's time."""
    if session.config.option.collectonly:
        return
    names = {
        item.callspec.params["recipe"]
        for item in session.items
        if "kept_recipe" in getattr(item, "fixturenames", ())
    }
    kept.build(sorted(names))


@pytest.fixture
def kept_recipe(recipe):
    """The launcher of a recipe that is built; the test's parameter `recipe` names it."""
    version = kept.python_of(recipe)
    if version not in local_channel.versions():
        pytest.skip(f"there is no Python {version} here: the recipe {recipe} stays untried")
    if recipe in kept.failed:
        pytest.fail(str(kept.failed[recipe]), pytrace=False)
    with kept.surroundings():
        yield kept.launcher(recipe)


@pytest.fixture(scope="session")
def channel():
    """URL of the channel of local CPythons."""
    if not local_channel.versions():
        pytest.skip("none of the CPythons of the channel is here: py-rattler stays untried")
    return local_channel.build()


@pytest.fixture(autouse=True)
def _in_time():
    with deadline(50):
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing of a test gets into the user's cache, and no solver of the user's is found."""
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / "cache"))
    for name in list(os.environ):
        if name.startswith(("CONDA", "MAMBA_")) or name == "ENVRING_BUILD_TIMEOUT":
            monkeypatch.delenv(name)
    monkeypatch.setenv("CONDARC", os.devnull)
    return tmp_path / "cache"


@pytest.fixture
def solving(tmp_path, monkeypatch):
    """The stand-in is $MAMBA_EXE, here and in builders."""
    made = Solving(tmp_path)
    variables = {
        "MAMBA_EXE": str(made.install()),
        "STAND_IN_CALLS": str(tmp_path / "calls"),
        "STAND_IN_PYTHON": sys.executable,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made.variables = variables
    return made
