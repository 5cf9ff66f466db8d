# SPDX-License-Identifier: MIT
"""Every test of hosts ends in time."""

import pytest

from envring.testing import deadline


@pytest.fixture(autouse=True)
def _in_time():
    with deadline(50):
        yield
