# SPDX-License-Identifier: MIT
"""Every test of hosts ends in time."""

import os

import pytest

from envring.testing import deadline
from support.processes import wait_until

# what `make fuzz` and `make kills` ask for takes longer
_SECONDS = 50 if os.environ.keys().isdisjoint({"ENVRING_FUZZ", "ENVRING_KILLS"}) else 1000


@pytest.fixture(autouse=True)
def _in_time():
    with deadline(_SECONDS):
        yield


@pytest.fixture
def no_sessions_left(host):
    """The module's host has none when a test has ended."""
    yield
    wait_until(lambda: not len(host.sessions), 20, "sessions have ended")
