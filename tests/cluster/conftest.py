# SPDX-License-Identifier: MIT
"""One small Ray cluster for all tests of it.

Files run in the order of their names. Those that need no cluster come first, because Ray starts
processes when it likes, which would count as left behind by other tests. The last test of
test_ray_nodes.py kills a node.
"""

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
