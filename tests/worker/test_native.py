# SPDX-License-Identifier: MIT
"""The library in every interpreter: each function without arguments of two scripts is a test."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from envring import _foreign
from envring.testing import deadline
from foreign_prefixes import VERSIONS

HERE = Path(__file__).parent
FOREIGN = Path(_foreign.__file__).parent
CHECKS = [
    (script, check)
    for script in ("plain_native.py", "plain_port.py")
    for check in re.findall(r"^def (\w+)\(\):", (HERE / script).read_text("utf-8"), re.MULTILINE)
]
FLAGS = ("-s", "-B", "-W", "ignore")  # numpy warns of odd observations
CPYTHONS = [version for version in VERSIONS if version != "pypy"]


def run(python: object, script: str, check: str) -> None:
    with deadline(55):
        ran = subprocess.run(
            [str(python), *FLAGS, HERE / script, FOREIGN / "libenvring.so", check],
            env={**os.environ, "PYTHONPATH": str(FOREIGN)},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr[-4000:]


def test_there_are_checks():
    assert ("plain_native.py", "random_steps") in CHECKS
    assert ("plain_port.py", "serve_steps") in CHECKS


@pytest.mark.parametrize(("script", "check"), CHECKS)
@pytest.mark.parametrize("version", CPYTHONS)
def test_native(version, script, check, foreign_python):
    run(foreign_python(version), script, check)
