# SPDX-License-Identifier: MIT
"""The virtual environments that the other tests run workers in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import foreign_prefixes
from support.foreign_prefixes import MATRIX, RECIPES, VERSIONS, Recipe

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
    expected = f"{library} {version.removesuffix('x')}" if version else "gym 0.21"
    assert gym.startswith(expected)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A recipe that needs no network, and a cache of its own."""
    if foreign_prefixes.interpreter("3.9") is None:
        pytest.skip("there is no Python 3.9 here: building stays unchecked")
    monkeypatch.setenv("ENVRING_TEST_CACHE", str(tmp_path))
    monkeypatch.setitem(RECIPES, "bad", Recipe("3.9", (str(tmp_path / "nothing"),)))
    monkeypatch.setitem(RECIPES, "good", Recipe("3.9", ("--no-index", "--requirement", os.devnull)))


def test_unfinished_build_is_built_anew(small):
    folder = foreign_prefixes.place("good")
    folder.mkdir()
    (folder / "half").touch()
    assert not foreign_prefixes.is_ready("good")
    assert foreign_prefixes.build("good") == folder
    assert foreign_prefixes.is_ready("good")
    assert not (folder / "half").exists()
    (folder / "kept").touch()
    assert foreign_prefixes.build_all(["good"]) == {}
    assert (folder / "kept").exists()


def test_failed_build_shows_the_end_of_its_log(small):
    error = foreign_prefixes.build_all(["bad"])["bad"]
    assert "nothing" in str(error).rpartition("ends:")[2]
    assert str(foreign_prefixes.place("bad")) in str(error)
    assert not foreign_prefixes.is_ready("bad")


def test_builds_of_several_processes_wait_for_each_other(small):
    """The second finds what the first has built."""
    script = "from support import foreign_prefixes as f; "
    script += "f.RECIPES['good'] = f.Recipe('3.9', {!r}); print(f.build('good').stat().st_ino)"
    packages = RECIPES["good"].packages
    argv = [sys.executable, "-c", script.format(packages)]
    environ = {**os.environ, "PYTHONPATH": str(Path(foreign_prefixes.__file__).parents[1])}
    builders = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environ) for _ in range(3)
    ]
    inodes = {builder.communicate(timeout=50)[0] for builder in builders}
    assert len(inodes) == 1
    assert {builder.returncode for builder in builders} == {0}
