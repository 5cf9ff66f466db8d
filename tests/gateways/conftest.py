# SPDX-License-Identifier: MIT
"""Every test of hosts ends in time."""

import os

import pytest

from envring.testing import deadline

# what `make fuzz` and `make kills` ask for takes longer
_SECONDS = 50 if os.environ.keys().isdisjoint({"ENVRING_FUZZ", "ENVRING_KILLS"}) else 1000


@pytest.fixture(autouse=True)
def _in_time():
    with deadline(_SECONDS):
        yield
