# SPDX-License-Identifier: MIT
"""A cache of each test's own, a time limit, and a stand-in for micromamba."""

from __future__ import annotations

import sys

import pytest

from envring.testing import deadline
from prefixes.solving import Solving


@pytest.fixture(autouse=True)
def _in_time():
    with deadline(50):
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Nothing of a test gets into the user's cache, and no solver of the user's is found."""
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / "cache"))
    for name in ("MAMBA_EXE", "MAMBA_ROOT_PREFIX", "CONDA_CHANNEL_ALIAS", "ENVRING_BUILD_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
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
