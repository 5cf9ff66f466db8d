# SPDX-License-Identifier: MIT
"""Some cells of the table of faults; `make faults` plays them all, see `table.py`."""

from __future__ import annotations

import re
from typing import Any

import pytest

from envring.errors import LauncherError
from envring.launchers import sandbox
from matrix.command import MARKS, play_all, table
from matrix.contexts import OLD
from matrix.table import CONTEXTS, HOW, POLICIES, WHERE, cells, expected, left_out
from support import programs

SAMPLE = {
    "fork": r"(SIGKILL|BaseException|ftruncate|flood, locked) at (constructor|publish|idle|close)",
    "forkserver": r"(os._exit\(0\)|closed descriptors) at publish",
    "spawn": r"raise: sys.exit at publish",
    "prefix": r"(stderr flood at launch|SIGSEGV at (publish|handshake))",
    "sandbox": r"raise: (SIGKILL|fork) at publish",
    "remote": r"raise: (exception at (constructor|close)|SIGSEGV at publish|thread at idle)",
    "program": r"(exception at constructor|SIGKILL at (launch|publish)|raise: BaseEx.* at step)",
}


@pytest.mark.parametrize("context", CONTEXTS)
def test_sample(context: str, matrix_prefix: Any) -> None:
    if context in ("prefix", "sandbox"):
        matrix_prefix(OLD)
    if context == "sandbox":
        try:
            sandbox.bubblewrap()
        except LauncherError as error:
            pytest.skip(f"FAULTS IN A SANDBOX ARE NOT CHECKED HERE: {error}")
    if context == "program" and programs.compiler() is None:
        pytest.skip("FAULTS OF PROGRAMS IN C++ ARE NOT CHECKED HERE: there is no compiler")
    chosen = [cell for cell in cells((context,)) if re.search(SAMPLE[context], str(cell))]
    assert chosen
    results, _ = play_all(chosen, repeats=1, jobs=1, silence=50.0)
    assert {str(cell): result.wrong for cell, result in results.items() if result.wrong} == {}
    assert sum(result.count for result in results.values()) == len(chosen)


def test_every_cell_has_an_outcome() -> None:
    """A known one, and none is left out without a reason."""
    assert all(any(words in expected(cell) for words in MARKS) for cell in cells())
    every = len(CONTEXTS) * len(WHERE) * len(HOW) * len(POLICIES)
    out = [
        left_out(where, how, context)
        for context in CONTEXTS
        for where in WHERE
        for how in HOW
        for _ in POLICIES
    ]
    assert len(cells()) == every - sum(reason is not None for reason in out)
    for context in CONTEXTS:
        assert table(context, {}).count("?") == len(cells((context,))) >= 300
