# SPDX-License-Identifier: MIT
"""Envs from files, modules, setup files and Portal-Env's directories, in every interpreter."""

from __future__ import annotations

import pytest

from support.foreign_prefixes import VERSIONS
from worker.interpreters import run_checks


@pytest.mark.parametrize("script", ["plain_sources.py", "plain_portals.py"])
@pytest.mark.parametrize("version", VERSIONS)
def test_files_and_modules(version, script, foreign_python):
    run_checks(foreign_python(version), script, PYTHONWARNINGS="error")
