# SPDX-License-Identifier: MIT
"""Unpacked packages that solvers keep: prefixes are links to them, so damage spreads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Collection
from pathlib import Path

from envring.prefixes import cache


def directories() -> dict[str, Path]:
    """Returns where the packages of this cache are, by solver; conda's are the user's own."""
    mamba = cache.root() / "micromamba" / "pkgs"
    return {"rattler": cache.root() / "packages", "micromamba": mamba}


def drop_damaged(solver: str, suspects: Callable[[str], bool]) -> list[str]:
    """Deletes packages of which a file is missing or changed; the solver fetches them again.

    Args:
        solver: whose packages.
        suspects: whether the content of a package is to be read; of others only the sizes of
            files are compared.

    Returns:
        The names of the deleted ones: "numpy-1.21.6-py39_0".
    """
    directory = directories().get(solver)
    dropped = []
    for index in sorted(directory.glob("*/info/index.json")) if directory else ():
        package = index.parents[1]
        if package.name.startswith("."):
            continue  # a solver is still unpacking it
        if _is_damaged(package, suspects(package.name)):
            drop(package)
            dropped.append(package.name)
    return dropped


def drop(package: Path) -> None:
    """Deletes an unpacked package, its archive, and what the solver knows of it."""
    cache.delete_tree(package)
    for suffix in (".lock", ".conda", ".tar.bz2"):
        package.with_name(f"{package.name}{suffix}").unlink(missing_ok=True)


def linked(prefix: Path) -> Collection[str]:
    """Returns the packages of a prefix, finished or not."""
    return {record.stem for record in (prefix / "conda-meta").glob("*.json")}


def _is_damaged(package: Path, thorough: bool) -> bool:
    try:
        paths = json.loads((package / "info/paths.json").read_text(encoding="utf-8"))["paths"]
        return any(_differs(package / each["_path"], each, thorough) for each in paths)
    except FileNotFoundError:
        return False  # an old package without such a list
    except (OSError, ValueError, TypeError, KeyError):
        return True


def _differs(path: Path, entry: dict[str, object], thorough: bool) -> bool:
    if entry.get("path_type") != "hardlink":
        return not os.path.lexists(path)
    try:
        if path.is_symlink():
            return False
        if path.stat().st_size != entry.get("size_in_bytes", path.stat().st_size):
            return True
        wanted = entry.get("sha256")
        if not thorough or not wanted:
            return False
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() != wanted
    except FileNotFoundError:
        return True


def clean() -> None:
    """Deletes all packages and indexes that this cache keeps; prefixes keep their files."""
    for directory in directories().values():
        with contextlib.suppress(FileNotFoundError):
            cache.delete_tree(directory)
