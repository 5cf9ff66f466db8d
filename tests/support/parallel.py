# SPDX-License-Identifier: MIT
"""Test processes side by side, as pytest-xdist starts them."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_TOGETHER = [
    # each makes something that takes seconds, once for all of its tests
    r"tests/c/test_c\.py",
    r"tests/wheel/test_wheel\.py",
    r"tests/launchers/test_conformance\.py",
    r"tests/prefixes/test_rattler\.py",
    # a name in /dev/shm that nobody uses any longer counts in every process
    r"tests/rules/test_books\.py",
    # a script runs once for all of its checks
    r"tests/worker/.*(?=-check_\w+\]$)",
    r"tests/worker/test_native\.py::test_native\[.*(?=-\w+\]$)",
]
_PATTERN = re.compile("|".join(_TOGETHER))


def scope(nodeid: str) -> str:
    """What tests have in common that are to run in the same process."""
    found = _PATTERN.match(nodeid)
    return found[0] if found else nodeid


class Scheduling(LoadScopeScheduling):
    """Gives a process the next test, or the next ones that belong together.

    pytest-xdist's own marks for groups have no effect with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Forgets what is done, or each of thousands of tests would count all those before it."""
        super().mark_test_complete(node, item_index, duration)
        nodeid = self.registered_collections[node][item_index]
        done, work = self._split_scope(nodeid), self.assigned_work[node]
        if all(work[done].values()):
            del work[done]


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        # the session tells whose a process is that has lost its parent
        os.setsid()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """As many as there are CPUs for us, whatever psutil counts."""
    return len(os.sched_getaffinity(0))
