# SPDX-License-Identifier: MIT
"""Env directories as Portal-Env has them: spec.yml, env_main.py and an optional env_setup.py."""

from __future__ import annotations

import os
from pathlib import Path

from envring.errors import SourceError
from envring.launchers.base import Sandbox
from envring.launchers.micromamba import Micromamba
from envring.prefixes import recipes

SCHEMES = ("dir:", "recipe:")
SPEC_FILES = ("spec.yml", "spec.yaml", "environment.yml", "environment.yaml", "spec.txt")
SETUP_FILE = "env_setup.py"
MAIN_FILE = "env_main.py"
IMAGE_FILE = "Dockerfile.env"


def locate(path: str | os.PathLike[str]) -> Path:
    """Returns the directory that "dir:PATH", "recipe:NAME" or a path names.

    Raises:
        SourceError: there is no such directory.
        SpecError: there is no recipe of that name.
    """
    text = os.fspath(path)
    if text.startswith("recipe:"):
        return recipes.find(text.removeprefix("recipe:")).directory
    directory = Path(text.removeprefix("dir:")).expanduser().absolute()
    if not directory.is_dir():
        raise SourceError(f"There is no env directory '{directory}'.")
    return directory


def main_file(path: str | os.PathLike[str]) -> Path:
    """Returns the script that gives a directory's env factory to EnvSidePortal.

    Raises:
        SourceError: there is none.
        SpecError: there is no recipe of that name.
    """
    directory = locate(path)
    if not (directory / MAIN_FILE).is_file():
        raise _lacks(directory, MAIN_FILE)
    return directory / MAIN_FILE


def launcher_of(
    path: str | os.PathLike[str], *, solver: str | None = None, sandbox: bool | Sandbox = False
) -> Micromamba:
    """Returns the launcher of a directory's spec and setup file.

    Args:
        path: the directory: "dir:PATH", "recipe:NAME" or a path.
        solver: which program installs the packages; see Micromamba.
        sandbox: whether workers run without network, on a read-only file system.

    Raises:
        SourceError: it has no spec.
        SpecError: there is no recipe of that name.
    """
    directory = locate(path)
    specs = [directory / name for name in SPEC_FILES if (directory / name).is_file()]
    if not specs and (directory / IMAGE_FILE).is_file():
        image = f"env_portal_{directory.name}".lower()
        raise SourceError(
            f"The env directory '{directory}' has no {SPEC_FILES[0]}, but a {IMAGE_FILE}: it runs "
            f"in a container. Build the image, which needs NumPy, and name it:\n"
            f"  docker build -f '{directory / IMAGE_FILE}' -t {image} '{directory}'\n"
            f'  envring.make("dir:{directory}", launcher="docker:{image}")'
        )
    if not specs:
        raise _lacks(directory, SPEC_FILES[0])
    setup = directory / SETUP_FILE
    return Micromamba(
        str(specs[0]),
        setup=str(setup) if setup.is_file() else None,
        solver=solver,
        portal=True,
        sandbox=sandbox,
    )


def _lacks(directory: Path, missing: str) -> SourceError:
    return SourceError(
        f"The env directory '{directory}' has no {missing}: spec.yml lists the packages, and "
        "env_main.py builds the env (from portal_env import EnvSidePortal)."
    )
