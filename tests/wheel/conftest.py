# SPDX-License-Identifier: MIT
"""Building and installing take longer than other tests may: a deadline of their own."""

import faulthandler

import pytest

DEADLINE = 300


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # replaces the timer that faulthandler_timeout has set for this test, before any fixture runs
    faulthandler.dump_traceback_later(DEADLINE, exit=True)
