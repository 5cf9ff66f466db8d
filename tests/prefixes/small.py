# SPDX-License-Identifier: MIT
"""Channels of small packages, below one alias: enough for a solver, and for a prefix with a Python.

Python is a link to the tests' own interpreter.
"""

from __future__ import annotations

import sys
from pathlib import Path

from support.local_channel import Link, Package, write, write_index

PYTHONS = ("2.7.18", "3.6.13", "3.7.12", "3.8.20", "3.9.21", "3.10.16", "3.11.11", "3.12.9")


def package(name: str, version: str, build: str = "0", depends: tuple[str, ...] = ()) -> Package:
    """A package with one file."""
    files: dict[str, bytes | Link] = {f"share/{name}/version": version.encode()}
    if name == "python":
        files["bin/python"] = Link(sys.executable)
    return Package(name, version, build, files, depends)


def make(mirror: Path, **channels: tuple[Package, ...]) -> str:
    """Writes channels below a directory; "__" in a name stands for "/". Returns their alias."""
    for name, packages in channels.items():
        home = mirror / name.replace("__", "/").replace("_", "-")
        for each in packages:
            write(each, home)
        write_index(home)
    return mirror.as_uri()


def pythons(versions: tuple[str, ...] = PYTHONS) -> tuple[Package, ...]:
    return tuple(package("python", each) for each in versions)


def origins(prefix: Path) -> dict[str, tuple[str, str]]:
    """Which packages a prefix holds: version, and channel below the alias."""
    from envring.prefixes.freeze import freeze

    found = freeze("x", prefix).conda
    return {each.name: (each.version, each.channel.partition("/mirror/")[2]) for each in found}
