# SPDX-License-Identifier: MIT
"""Blocks of the pages that need a library: they run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from docs import pages

SECONDS = 280


def run_block(need: str, folder: Path, **changes: str) -> str:
    """What the only block with that need prints.

    Args:
        need: as in its comment.
        folder: to run it in.
        **changes: of numbers in it that make it take long, and of ports, by any name: "OLD -> NEW".
    """
    found = [
        (pages.name(page), block.text)
        for page in pages.PAGES
        for block in pages.blocks(page, "python")
        if need in block.needs
    ]
    ((name, text),) = found
    for change in changes.values():
        old, new = change.split(" -> ")
        assert old in text, f"{name} has changed"
        text = text.replace(old, new)
    path = folder / "block.py"  # a file: processes that do not fork import it
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, path],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
