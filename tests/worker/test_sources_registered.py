# SPDX-License-Identifier: MIT
"""Registered envs and wrappers of old and new releases of gym and gymnasium."""

from __future__ import annotations

from support.foreign_prefixes import MATRIX
from worker.interpreters import each_check, run_check

LIBRARIES = [name for name in MATRIX if name.startswith(("gym-", "gymnasium-"))]


@each_check(LIBRARIES, ["plain_registered.py"])
def test_registered_envs_and_wrappers(name, script, check, matrix_prefix):
    run_check(matrix_prefix(name) / "bin/python", script, check)
