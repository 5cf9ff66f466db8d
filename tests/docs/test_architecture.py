# SPDX-License-Identifier: MIT
"""The files and names that docs/architecture.md mentions exist."""

import re

from docs import pages

PAGE = pages.ROOT / "docs" / "architecture.md"
PACKAGE = pages.ROOT / "src" / "envring"
ROOTS = (PACKAGE, PACKAGE / "_foreign", pages.ROOT)
# `path`, or `path: Name.part`; further names in backticks may follow it, separated by commas
_PLACE = re.compile(r"`([\w./]+/[\w.]*|\w+\.(?:py|toml))(?:: ([\w.]+))?`((?:, `\w+`)*)")


def places():
    """(path, name or "") for each place that the page mentions."""
    found = set()
    for path, name, more in _PLACE.findall(PAGE.read_text(encoding="utf-8")):
        found.add((path, name))
        if name:
            found.update((path, other) for other in re.findall(r"\w+", more))
    return sorted(found)


def defined(name, text):
    """Whether a source file defines a name: as a class, function, method or at its top."""
    return re.search(
        rf"^\s*(?:class|cdef class|def|cdef|cpdef)(?: [\w *]+)?? {name}\b"  # Python and Cython
        rf"|^\s*{name}(?:: [^=\n]+)? = "  # a constant, an attribute
        rf"|^\w[\w *]* \*?{name}\(",  # C
        text,
        re.MULTILINE,
    )


def test_the_page_mentions_places():
    assert ("pool/opening.py", "open_pool") in places()
    assert ("csrc/er_batch.c", "er_caller_ring") in places()


def lacks(path, name):
    """What is not there of a place, in words; None: it exists."""
    target = next((root / path for root in ROOTS if (root / path).exists()), None)
    if target is None:
        return f"there is no {path}"
    for part in filter(None, name.split(".")):
        if not defined(part, target.read_text(encoding="utf-8")):
            return f"{path} defines no {part}"
    return None


def test_places_exist():
    assert list(filter(None, (lacks(path, name) for path, name in places()))) == []
