# SPDX-License-Identifier: MIT
"""Writes what a run found into the page of results: ``python benchmarks/page.py run.json``."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

from envring.bench import markdown, plot, results
from envring.bench.results import Document

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
# The tables have everything; a picture of it all would be as long as a street.
PICTURED = ("null", "cartpole")
SHOWN = (
    *("envring", "async", "sync", "sb3-subproc", "tianshou-shmem"),
    *("pufferlib", "pufferlib-1", "torchrl", "envpool", "bare"),
)
PLACE = re.compile(r"(<!-- measured\b[^>]*-->\n).*?(<!-- /measured -->)", re.DOTALL)


def filled(page: str, found: Document, picture: str, baseline: str = "async") -> str:
    """The page with the tables of ``found`` in their place.

    Args:
        page: What it says now.
        found: The run.
        picture: The address of its picture, seen from the page.
        baseline: The peer that the others are compared with.

    Raises:
        ValueError: if there is not exactly one place for them.
    """
    tables = f"\n![What was measured]({picture})\n\n{markdown.document(found, baseline)}\n"
    text, places = PLACE.subn(lambda match: f"{match[1]}{tables}{match[2]}", page)
    if places != 1:
        raise ValueError("the page needs one <!-- measured --> and one <!-- /measured -->")
    return text


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
    parser.add_argument("--baseline", default="async", help="whom the others are compared with")
    options = parser.parse_args()
    found = results.read(options.run)
    picture = options.page.with_suffix(".png")
    page = options.page.read_text(encoding="utf-8")
    text = filled(page, found, picture.name, options.baseline)
    plot.draw(picture, pictured(found), baseline=options.baseline)
    with Image.open(picture) as drawn:  # a fourth of the bytes
        drawn.convert("RGB").quantize(128).save(picture, optimize=True)
    options.page.write_text(text, encoding="utf-8")
    print(f"page: {options.page}, picture: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
