# SPDX-License-Identifier: MIT
"""A time limit for every test of this folder, and workers in C++."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from envring import EnvSource
from envring.testing import deadline
from support import programs


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    with deadline(400 if "ENVRING_ATTACKS" in os.environ else 40):
        yield


@pytest.fixture(scope="session")
def counting(tmp_path_factory: pytest.TempPathFactory) -> EnvSource:
    """The env of counting.cpp."""
    return programs.built(programs.FOLDER / "counting.cpp", tmp_path_factory.mktemp("worker"))
