# SPDX-License-Identifier: MIT
"""What crosses as a pickle keeps what its tracebacks say: file, line, source."""

from __future__ import annotations

import linecache
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from envring.transport.pickling import add_sources, dumps, dumps_by_value

CELL = "<cell 1>"
SOURCE = "def outer():\n    def inner():\n        raise ValueError('here')\n    return inner\n"


@pytest.fixture
def cell() -> Iterator[Callable[[], Any]]:
    """A function that was typed in: no file holds it."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SOURCE, CELL, "exec"), namespace)
    linecache.cache[CELL] = (len(SOURCE), None, SOURCE.splitlines(keepends=True), CELL)
    yield namespace["outer"]
    linecache.cache.pop(CELL, None)


def test_code_keeps_its_file(cell: Callable[[], Any]) -> None:
    data, _ = dumps_by_value(cell)
    copied = pickle.loads(data)
    assert copied.__code__.co_filename == CELL
    assert copied().__code__.co_filename == CELL  # code within code
    assert copied.__code__ == cell.__code__


def test_lambdas_of_a_module_keep_theirs() -> None:
    copied = pickle.loads(dumps(lambda: 3))
    assert copied() == 3
    assert copied.__code__.co_filename == __file__


def test_source_lines_of_no_file_travel(cell: Callable[[], Any]) -> None:
    data, sources = dumps_by_value([cell, cell()])
    assert sources == {CELL: SOURCE.splitlines(keepends=True)}
    del linecache.cache[CELL]
    add_sources(sources)
    linecache.checkcache()
    with pytest.raises(ValueError, match="here") as caught:
        pickle.loads(data)[1]()
    last = traceback.extract_tb(caught.tb)[-1]
    assert (last.filename, last.lineno, last.line) == (CELL, 3, "raise ValueError('here')")


def test_source_lines_of_files_stay_where_they_are() -> None:
    assert dumps_by_value(lambda: 3)[1] == {}


def test_code_without_source_travels_without() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("def f(): return 4", "<string>", "exec"), namespace)
    data, sources = dumps_by_value(namespace["f"])
    assert sources == {}
    assert pickle.loads(data)() == 4
