# SPDX-License-Identifier: MIT
"""Fixtures that give tests other interpreters; what is needed is built before the first test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envring import _foreign
from support.foreign_prefixes import (
    MATRIX,
    RECIPES,
    VERSIONS,
    BuildFailed,
    build,
    build_all,
    full_version,
    interpreter,
    is_ready,
    place,
)

_WANTED = pytest.StashKey[set[str]]()
_FAILED = pytest.StashKey[dict[str, BuildFailed]]()
_NAME = "foreign_prefixes_wanted"
_GROUPS = {"foreign_python": VERSIONS, "matrix_prefix": tuple(MATRIX)}


def _names(item: pytest.Item) -> set[str]:
    """Recipes that a test may ask for: those among its parameters, else all of its fixture."""
    group = {
        name
        for fixture, names in _GROUPS.items()
        if fixture in getattr(item, "fixturenames", ())
        for name in names
    }
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return group.intersection(value for value in parameters if isinstance(value, str)) or group


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_FAILED] = {}
    if session.config.option.collectonly:
        return
    wanted: set[str] = set().union(*map(_names, session.items))
    session.config.stash[_WANTED] = wanted
    missing = [
        name
        for name in RECIPES
        if name in wanted and interpreter(RECIPES[name].version) and not is_ready(name)
    ]
    if missing:
        capture = session.config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print("building virtual environments, once:", ", ".join(missing), file=sys.stderr)
        session.config.stash[_FAILED] = build_all(missing)
    _compile_worker_package({RECIPES[name].version for name in wanted})


def _compile_worker_package(versions: set[str]) -> None:
    """Leaves the worker package's bytecode for these interpreters beside it, where they look.

    Workers write none, so each of the thousands that tests start would compile it anew. That they
    start without is seen with copies of the package and with Python 2.7, which is left out: it
    would go on importing the bytecode of modules that are deleted.
    """
    folder = str(Path(_foreign.__file__).with_name("envring_worker"))
    for version in versions - {"2.7", "pypy"}:
        if python := interpreter(version):
            argv = [python, "-E", "-s", "-m", "compileall", "-q", folder]
            subprocess.run(argv, check=False, timeout=50)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_NAME] = sorted(session.config.stash.get(_WANTED, ()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a process of pytest-xdist has wanted, for the summary of the one that started it."""
    wanted = getattr(node, "workeroutput", {}).get(_NAME, ())
    node.config.stash.setdefault(_WANTED, set()).update(wanted)


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if not config.stash.get(_WANTED, None):
        return
    found = {version: text for version in VERSIONS if (text := full_version(version))}
    lacking = [version for version in VERSIONS if version not in found]
    text = f"interpreters: {len(found)} of {len(VERSIONS)} found ({', '.join(found.values())})"
    if lacking:
        text += f"; missing: {', '.join(lacking)}"
    terminalreporter.write_line(text)


def _prefix(name: str, config: pytest.Config) -> Path:
    version = RECIPES[name].version
    if interpreter(version) is None:
        pytest.skip(f"there is no Python {version} here: what runs in it stays unchecked")
    failed = config.stash[_FAILED].get(name)
    if failed is not None:
        pytest.fail(str(failed), pytrace=False)
    # built already, unless this test's parameters named others
    return place(name) if is_ready(name) else build(name)


@pytest.fixture(scope="session")
def foreign_python(pytestconfig: pytest.Config) -> Callable[[str], str]:
    """``foreign_python("3.9")``: path of a Python that has NumPy and nothing else."""
    return lambda version: str(_prefix(version, pytestconfig) / "bin/python")


@pytest.fixture(scope="session")
def matrix_prefix(pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """``matrix_prefix("gym-0.21")``: path of a prefix with an old gym, see ``MATRIX``."""
    return lambda name: _prefix(name, pytestconfig)
