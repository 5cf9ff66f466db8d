# SPDX-License-Identifier: MIT
"""Envs from files, modules, setup files and Portal-Env's directories, in every interpreter."""

from __future__ import annotations

from support.foreign_prefixes import VERSIONS
from worker.interpreters import each_check, run_check


@each_check(VERSIONS, ["plain_sources.py", "plain_portals.py"])
def test_files_and_modules(name, script, check, foreign_python):
    run_check(foreign_python(name), script, check, PYTHONWARNINGS="error")
