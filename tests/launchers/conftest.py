# SPDX-License-Identifier: MIT
"""Prefixes of several kinds, made in a moment."""

import venv

import pytest

from launchers.running import link_python


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing of a test gets into the user's cache, or comes from there."""
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def venv_prefix(tmp_path_factory):
    """A venv of the interpreter that runs the tests, without any package."""
    path = tmp_path_factory.mktemp("made") / "venv"
    venv.create(path, symlinks=True, with_pip=False)
    return path


@pytest.fixture
def conda_prefix(tmp_path):
    """A directory that looks like a conda prefix, and runs."""
    prefix = link_python(tmp_path / "envs/game")
    (prefix / "conda-meta").mkdir()
    return prefix
