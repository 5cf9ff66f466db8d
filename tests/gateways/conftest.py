# SPDX-License-Identifier: MIT
"""Every test of hosts ends in time."""

import os

import pytest

from envring.testing import deadline
from support.processes import wait_until

# what `make fuzz`, `make kills` and `make wires` ask for takes longer
_LONG = {"ENVRING_FUZZ", "ENVRING_KILLS", "ENVRING_WIRES"}
_SECONDS = 50 if os.environ.keys().isdisjoint(_LONG) else 1000


@pytest.fixture(autouse=True)
def _in_time():
    with deadline(_SECONDS):
        yield


@pytest.fixture
def no_sessions_left(host):
    """The module's host has none when a test has ended."""
    yield
    wait_until(lambda: not len(host.sessions), 20, "sessions have ended")
