# SPDX-License-Identifier: MIT
"""Registered envs and wrappers of old and new releases of gym and gymnasium."""

from __future__ import annotations

import pytest

from support.foreign_prefixes import MATRIX
from worker.interpreters import run_checks

LIBRARIES = [name for name in MATRIX if name.startswith(("gym-", "gymnasium-"))]


@pytest.mark.parametrize("prefix", LIBRARIES)
def test_registered_envs_and_wrappers(prefix, matrix_prefix):
    run_checks(matrix_prefix(prefix) / "bin/python", "plain_registered.py")
