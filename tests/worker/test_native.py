# SPDX-License-Identifier: MIT
"""The library in every interpreter: what is checked are the functions of two scripts."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from envring import _foreign
from envring.testing import deadline
from support.foreign_prefixes import VERSIONS

HERE = Path(__file__).parent
FOREIGN = Path(_foreign.__file__).parent
FLAGS = ("-s", "-B", "-W", "ignore")  # numpy warns of odd observations


def checks(script: str) -> list[str]:
    """Functions of a script that need no arguments."""
    return re.findall(r"^def (\w+)\(\):", (HERE / script).read_text("utf-8"), re.MULTILINE)


# one process each
GROUPS = {
    "loop": ("plain_native.py", [c for c in checks("plain_native.py") if "leave" not in c]),
    "leaks": ("plain_native.py", [c for c in checks("plain_native.py") if "leave" in c]),
    "port": ("plain_port.py", checks("plain_port.py")),
}
WITHOUT_LOOP = [
    "commands_and_replies",
    "waiting_lets_other_threads_run",
    "libraries_that_cannot_be_used",
    "segments_that_cannot_be_used",
    "loops_need_cpython",
]


def run(python: object, script: str, names: list[str]) -> None:
    with deadline(55):
        ran = subprocess.run(
            [str(python), *FLAGS, HERE / script, FOREIGN / "libenvring.so", *names],
            env={**os.environ, "PYTHONPATH": str(FOREIGN)},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr[-4000:]


def test_there_are_checks():
    found = {group: len(names) for group, (_, names) in GROUPS.items()}
    assert found["loop"] > 7
    assert found["leaks"] == 2
    assert set(GROUPS["port"][1]) > set(WITHOUT_LOOP)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("version", [version for version in VERSIONS if version != "pypy"])
def test_native(version, group, foreign_python):
    run(foreign_python(version), *GROUPS[group])


@pytest.mark.parametrize("version", ["pypy"])
def test_port_without_loop(version, foreign_python):
    run(foreign_python(version), "plain_port.py", WITHOUT_LOOP)
