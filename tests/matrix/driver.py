# SPDX-License-Identifier: MIT
"""Plays cells that come as lines on stdin, in a process of its own; answers with lines.

Each line of either is JSON. Beside what came of a cell an answer has what was left behind.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from envring.testing import deadline
from matrix.contexts import Places
from matrix.play import play
from matrix.table import Cell
from support.books import MARK, Books

LIMIT = 60.0  # seconds for a cell
PATIENCE = 5.0  # seconds for what it leaves to go


def one(cell: Cell, places: Places) -> tuple[str, list[str]]:
    """What came of a cell, and what it left."""
    try:
        make = places.maker(cell.context)
        patience = places.patience(cell.context)
    except Exception as error:
        return f"WRONG: {type(error).__name__}, before anything was to go wrong: {error}", []
    before, descriptors = Books.now(), places.host_descriptors()
    try:
        with deadline(LIMIT):
            said = play(cell, make, places.folder, patience)
    except AssertionError as error:
        said = f"WRONG: {error}"
    except BaseException as error:
        said = f"WRONG: {type(error).__name__}: {error}"
    gc.collect()
    left = before.left_over(PATIENCE)
    until = time.monotonic() + PATIENCE
    while places.host_descriptors() > descriptors and time.monotonic() < until:
        time.sleep(0.01)
    more = places.host_descriptors() - descriptors
    if more > 0:
        left.append(f"{more} descriptors of the host")
    return said, left


def main() -> None:
    """Answers until stdin ends."""
    os.environ[MARK] = str(os.getpid())
    answers = os.fdopen(os.dup(1), "w")
    os.set_inheritable(answers.fileno(), False)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    gc.freeze()  # what was imported needs no collecting after each cell
    with tempfile.TemporaryDirectory(prefix="envring-matrix-") as root:
        places = Places(Path(root))
        try:
            for line in sys.stdin:
                cell = Cell(*json.loads(line))
                begun = time.monotonic()
                said, left = one(cell, places)
                seconds = time.monotonic() - begun
                print(json.dumps([cell, said, left, seconds]), file=answers, flush=True)
        finally:
            places.close()


if __name__ == "__main__":
    main()
