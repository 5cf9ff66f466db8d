# SPDX-License-Identifier: MIT
"""A time limit for every test of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from envring.testing import deadline


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    with deadline(900 if "ENVRING_STATEFUL" in os.environ else 58):
        yield
