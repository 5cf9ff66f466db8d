# SPDX-License-Identifier: MIT
"""Pickles for processes that run the same code for the same user."""

from __future__ import annotations

import io
import linecache
import os
import pickle
from collections import ChainMap
from collections.abc import Mapping
from types import CodeType
from typing import Any

import cloudpickle

_FILENAME = 10  # position among the arguments of types.CodeType, CPython 3.11 to 3.14


def dumps(value: Any, check: bool = False) -> bytes:
    """Pickles a value; what pickle refuses, cloudpickle may take.

    Args:
        value: anything.
        check: whether to make sure that the bytes can be read again (an exception whose
            constructor wants more than it was given cannot).
    """
    try:
        data = pickle.dumps(value, protocol=5)
        if check:
            pickle.loads(data)
    except Exception:
        data, _ = dumps_by_value(value)
        if check:
            pickle.loads(data)
    return data


def dumps_by_value(value: Any) -> tuple[bytes, dict[str, list[str]]]:
    """Pickles a value with cloudpickle: functions and classes of `__main__` travel whole.

    Returns:
        The pickle, and the source lines that another process cannot read from disk, by file name:
        cells of notebooks. `add_sources` makes them known there.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer)
    pickler.dump(value)
    sources = {
        name: lines
        for name in sorted(pickler.file_names)
        if not os.path.exists(name) and (lines := linecache.getlines(name))
    }
    return buffer.getvalue(), sources


def add_sources(sources: Mapping[str, list[str]]) -> None:
    """Lets tracebacks of this process show source lines that are in no file."""
    for name, lines in sources.items():
        # no modification time: the entry stays although there is no such file
        linecache.cache[name] = (sum(map(len, lines)), None, lines, name)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, but code keeps its file name, which newer ones replace by a placeholder.

    Attributes:
        file_names: of all code that was pickled by value.
    """

    def __init__(self, file: io.BytesIO) -> None:
        self.file_names: set[str] = set()
        table = cloudpickle.Pickler.dispatch_table
        self._reduce_as_cloudpickle = table[CodeType]
        self.dispatch_table = ChainMap({CodeType: self._reduce_code}, table)
        super().__init__(file, protocol=5)

    def _reduce_code(self, code: CodeType) -> tuple[Any, ...]:
        make, arguments = self._reduce_as_cloudpickle(code)
        name = str(code.co_filename)
        self.file_names.add(name)
        return make, (*arguments[:_FILENAME], name, *arguments[_FILENAME + 1 :])
