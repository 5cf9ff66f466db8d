# SPDX-License-Identifier: MIT
"""Every test of hosts ends in time, and what other tests show as well is left for later."""

import re

import pytest

from envring.testing import deadline

# each kind of info and space: the same workers send them in foreign/test_conformance.py
_LONG = re.compile("TestRemoteEnvs::test_(infos|observation_space|action_space)_")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if _LONG.search(item.nodeid):
            item.add_marker(pytest.mark.long)


@pytest.fixture(autouse=True)
def _in_time():
    with deadline(50):
        yield
