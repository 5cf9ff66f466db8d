# SPDX-License-Identifier: MIT
"""The virtual environments that the other tests run workers in."""

from __future__ import annotations

import subprocess

import pytest

from foreign_prefixes import MATRIX, VERSIONS

SHOW = """
import sys, numpy
gym = ""
for name in ("gymnasium", "gym"):
    try:
        module = __import__(name)
    except ImportError:
        continue
    gym = "%s %s" % (name, module.__version__)
    break
print("%d.%d|%s|%s" % (sys.version_info[0], sys.version_info[1], numpy.__version__, gym))
"""


def facts(python: str) -> list[str]:
    argv = [python, "-E", "-s", "-W", "ignore", "-c", SHOW]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=50, check=True)
    return done.stdout.strip().split("|")


@pytest.mark.parametrize("version", VERSIONS)
def test_has_numpy_and_no_gym(version, foreign_python):
    python, numpy, gym = facts(foreign_python(version))
    assert version in (python, "pypy")
    assert numpy
    assert gym == ""


@pytest.mark.parametrize("name", MATRIX)
def test_has_its_gym(name, matrix_prefix):
    python, _, gym = facts(str(matrix_prefix(name) / "bin/python"))
    assert python == MATRIX[name].version
    library, _, version = name.partition("-")
    expected = f"{library} {version.removesuffix('x')}" if version else "gym 0.26"
    assert gym.startswith(expected)
