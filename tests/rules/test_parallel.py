# SPDX-License-Identifier: MIT
"""Which tests run in the same process."""

import pytest

from support.parallel import scope


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/unit/test_cpus.py::test_quota[1-2]", "tests/unit/test_cpus.py::test_quota[1-2]"),
        ("tests/c/test_c.py::test_program[ring]", "tests/c/test_c.py"),
        (
            "tests/worker/test_adapt.py::test_stand_ins[2.7-plain_adapt-check_all]",
            "tests/worker/test_adapt.py::test_stand_ins[2.7-plain_adapt",
        ),
        (
            "tests/worker/test_native.py::test_native[2.7-leaks-steps_leave_nothing]",
            "tests/worker/test_native.py::test_native[2.7-leaks",
        ),
    ],
)
def test_scope(nodeid, expected):
    assert scope(nodeid) == expected
