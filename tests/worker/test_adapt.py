# SPDX-License-Identifier: MIT
"""Old envs behind the modern interface, in every interpreter."""

from __future__ import annotations

from support.foreign_prefixes import VERSIONS
from worker.interpreters import each_check, run_check


@each_check(VERSIONS, ["plain_adapt.py", "plain_attributes.py", "plain_slices.py"])
def test_stand_ins(name, script, check, foreign_python):
    run_check(foreign_python(name), script, check, PYTHONWARNINGS="error")
