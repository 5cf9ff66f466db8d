# SPDX-License-Identifier: MIT
"""The examples in docstrings run, and give what they say.

`pytest --doctest-modules` would import every module, those of missing extras and those for other
interpreters too: here only modules with examples are imported.
"""

import doctest
import importlib
from pathlib import Path

import pytest

import envring

HOME = Path(envring.__file__).parent
SOURCES = [path for path in sorted(HOME.rglob("*.py")) if ">>> " in path.read_text("utf-8")]
NAMES = [".".join(("envring", *path.relative_to(HOME).with_suffix("").parts)) for path in SOURCES]


def test_there_are_examples():
    assert {"envring.api.vector", "envring.api.single"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_examples_of(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("envring"):
            raise
        pytest.skip(f"there is no {error.name}: the examples of {name} stay unchecked")
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS, raise_on_error=False)
    assert found.attempted, "'>>> ' stands in the file, but in no docstring"
    assert not found.failed, "see the captured output"
