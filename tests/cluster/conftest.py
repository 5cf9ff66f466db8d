# SPDX-License-Identifier: MIT
"""One small Ray cluster for all tests of it."""

import pytest

from support.ray_nodes import RayNodes


@pytest.fixture(scope="session")
def nodes():
    """Two nodes of two CPUs each. The last test kills one."""
    found = RayNodes()
    try:
        yield found
    finally:
        found.end()
