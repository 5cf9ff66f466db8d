# SPDX-License-Identifier: MIT
"""Writes what a run found into the page of results: ``python benchmarks/page.py run.json``."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from envring.bench import markdown, plot, results
from envring.bench.results import Document

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
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
    plot.draw(picture, found, baseline=options.baseline)
    options.page.write_text(text, encoding="utf-8")
    print(f"page: {options.page}, picture: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
