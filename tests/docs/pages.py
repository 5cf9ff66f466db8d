# SPDX-License-Identifier: MIT
"""The pages of the documentation, and the blocks of code in them.

A comment before a block names what it needs that a fresh machine does not have:
`<!-- needs: conda-forge -->`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "csrc" / "README.md",
)
_BLOCK = re.compile(
    r"^(?:<!-- needs: (?P<needs>[^>]+?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code: its first line in the page, from 1, and the names in its comment."""

    line: int
    language: str
    text: str
    needs: tuple[str, ...]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page that are written in one of the languages, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            text.count("\n", 0, found.start("text")) + 1,
            found["language"],
            found["text"],
            tuple(re.split(r",\s*", found["needs"])) if found["needs"] else (),
        )
        for found in _BLOCK.finditer(text)
        if found["language"] in languages
    ]
