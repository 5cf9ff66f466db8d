# SPDX-License-Identifier: MIT
"""Where envring cannot run, its build says so before anything else happens."""

import subprocess
import sys
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "setup.py"


def build_under(assignment):
    code = f"import runpy, sys; {assignment}; runpy.run_path({str(SETUP)!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_other_systems_are_refused(platform):
    done = build_under(f"sys.platform = {platform!r}")
    assert done.returncode == 1
    assert "Linux only" in done.stderr
    assert platform in done.stderr
    assert "Traceback" not in done.stderr


def test_older_pythons_are_refused():
    done = build_under("sys.version_info = (3, 10, 4, 'final', 0)")
    assert done.returncode == 1
    assert "3.11 or newer" in done.stderr
    assert "this is 3.10" in done.stderr
    assert "Traceback" not in done.stderr
