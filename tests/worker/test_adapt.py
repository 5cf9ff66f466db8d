# SPDX-License-Identifier: MIT
"""Old envs behind the modern interface, in every interpreter."""

from __future__ import annotations

import pytest

from support.foreign_prefixes import VERSIONS
from worker.interpreters import run_checks


@pytest.mark.parametrize("script", ["plain_adapt.py", "plain_attributes.py", "plain_slices.py"])
@pytest.mark.parametrize("version", VERSIONS)
def test_stand_ins(version, script, foreign_python):
    run_checks(foreign_python(version), script, PYTHONWARNINGS="error")
