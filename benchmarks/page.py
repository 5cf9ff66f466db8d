# SPDX-License-Identifier: MIT
"""Writes what a run found into the page of results: `python benchmarks/page.py run.json`."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

from envring.bench.measuring import results
from envring.bench.measuring.results import Document
from envring.bench.reporting import markdown, plot

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
# The tables have everything; a picture of all cells would be too long.
PICTURED = ("null", "cartpole")
SHOWN = (
    *("envring", "async", "sync", "sb3-subproc", "tianshou-shmem"),
    *("pufferlib", "pufferlib-1", "torchrl", "envpool", "bare"),
)
PLACE = re.compile(r"(<!-- measured\b[^>]*-->\n).*?(<!-- /measured -->)", re.DOTALL)
# The page itself has one table: of these cells (workload, number of envs, seconds that the caller
# thinks) and peers. All tables are on a page of their own.
TABLES = PAGE.with_name("benchmarks-tables.md")
CELLS = (
    *(("cartpole", 8, 0.0), ("cartpole", 64, 0.0), ("cartpole", 256, 0.0), ("cartpole", 8, 0.003)),
    *(("null", 8, 0.0), ("null", 64, 0.0), ("image", 64, 0.0), ("dict5", 64, 0.0)),
    *(("info5", 64, 0.0), ("spin100", 64, 0.0), ("spin1000", 64, 0.0), ("tailsleep", 64, 0.0)),
    *(("pong", 64, 0.0), ("mujoco", 64, 0.0)),
)
PEERS = (
    *("envring", "async", "sync", "sb3-subproc", "tianshou-shmem", "pufferlib", "pufferlib-1"),
    *("torchrl", "envpool", "bare"),
)


def filled(page: str, found: Document, picture: str, baseline: str = "async") -> str:
    """The page with the tables of `found` in their place.

    Args:
        page: Its present text.
        found: The run.
        picture: The address of its picture, seen from the page.
        baseline: The peer that the others are compared with.

    Raises:
        ValueError: if the page does not have exactly one place for them.
    """
    return _placed(page, f"![What was measured]({picture})\n\n{markdown.document(found, baseline)}")


def summarised(page: str, found: Document, baseline: str = "async") -> str:
    """The page with one table of the main cells and peers, and a list of where others are ahead.

    Raises:
        ValueError: if the page does not have exactly one place for them.
    """
    cells = [
        each
        for each in found.cells
        if not each.cell.num_workers
        and (each.cell.workload, each.cell.num_envs, each.cell.think) in CELLS
    ]
    measured = {sample.peer for each in found.cells for sample in each.samples}
    peers = [peer for peer in PEERS if peer in measured]
    table = markdown.overview(replace(found, cells=cells or found.cells), baseline, peers)
    return _placed(page, f"{table}\n\n{markdown.losses(found)}\n")


def _placed(page: str, text: str) -> str:
    """The page with `text` between its two comments."""
    made, places = PLACE.subn(lambda match: f"{match[1]}\n{text}\n{match[2]}", page)
    if places != 1:
        raise ValueError("the page needs one <!-- measured --> and one <!-- /measured -->")
    return made


def pictured(found: Document) -> Document:
    """What the picture shows of a run: two workloads at every number of envs, the main peers."""
    cells = []
    for each in found.cells:
        if each.cell.workload in PICTURED and not each.cell.think and not each.cell.num_workers:
            few = tuple(one for one in each.cell.contestants if one.label in SHOWN)
            breakdowns = {one: parts for one, parts in each.breakdowns.items() if one in SHOWN}
            cell = replace(each.cell, contestants=few)
            cells.append(replace(each, cell=cell, breakdowns=breakdowns))
    return replace(found, cells=cells or found.cells)


def main() -> int:
    """Fills the page and draws the picture beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="what `envring bench --json` wrote")
    parser.add_argument("--page", type=Path, default=PAGE, help="default: docs/benchmarks.md")
    parser.add_argument(
        "--baseline", default="async", help="the peer that the others are compared with"
    )
    options = parser.parse_args()
    found = results.read(options.run)
    picture = options.page.with_suffix(".png")
    tables = options.page.with_name(TABLES.name)
    page = options.page.read_text(encoding="utf-8")
    text = summarised(page, found, options.baseline)
    rest = filled(tables.read_text(encoding="utf-8"), found, picture.name, options.baseline)
    plot.draw(picture, pictured(found), baseline=options.baseline)
    with Image.open(picture) as drawn:  # a quarter of the bytes
        drawn.convert("RGB").quantize(128).save(picture, optimize=True)
    options.page.write_text(text, encoding="utf-8")
    tables.write_text(rest, encoding="utf-8")
    print(f"pages: {options.page}, {tables}, picture: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
