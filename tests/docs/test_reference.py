# SPDX-License-Identifier: MIT
"""The pages of reference name all that there is: errors, and variables of the environment."""

import re

import envring
from docs import pages


def rows(name):
    """The first cells of a page's tables."""
    text = (pages.ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)


def test_every_error_is_explained():
    found = {
        name
        for name in envring.__all__
        if isinstance(getattr(envring, name), type)
        and issubclass(getattr(envring, name), BaseException)
    }
    assert {"WorkerDied", "SegmentMemoryError", "SpaceMismatchError"} <= found
    assert {name for row in rows("errors.md") for name in re.findall(r"^`(\w+)`", row)} == found


def test_bases_are_as_stated():
    for row in rows("errors.md"):
        name, *bases = re.findall(r"`(\w+)`", row) or [""]
        for base in bases:
            assert base in {each.__name__ for each in getattr(envring, name).__mro__}, row


def test_every_variable_is_explained():
    sources = [*(pages.ROOT / "src").rglob("*.py"), pages.ROOT / "setup.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r"\bENVRING_[A-Z]+(?:_[A-Z]+)*\b", text))
    told = {name for row in rows("environment.md") for name in re.findall(r"ENVRING_\w+", row)}
    assert told == used


def test_every_page_stands_in_the_contents_of_the_site():
    """`make docs` fails without."""
    index = pages.ROOT / "docs" / "site" / "index.md"
    listed = re.findall(r"^(?:\.\./)+\S+$", index.read_text(encoding="utf-8"), re.MULTILINE)
    found = {(index.parent / name).resolve().with_suffix(".md") for name in listed}
    assert set(pages.PAGES) <= found
    assert all(path.exists() for path in found)


def test_adapters_that_are_shown_are_in_the_reference():
    texts = [path.read_text(encoding="utf-8") for path in pages.PAGES]
    texts += [path.read_text(encoding="utf-8") for path in (pages.ROOT / "examples").glob("*.py")]
    shown = {
        f"{module}.{name.strip()}"
        for module, names in re.findall(
            r"^ *from (envring\.adapters\.[\w.]+) import ([\w, ]+)$", "\n".join(texts), re.MULTILINE
        )
        for name in names.split(",")
    }
    api = (pages.ROOT / "docs" / "site" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\.\. auto\w+:: (envring\.adapters\.\S+)$", api, re.MULTILINE))
    assert {"envring.adapters.sb3.RingVecEnv", "envring.adapters.pettingzoo.agents_vec"} <= shown
    assert shown <= listed
