# SPDX-License-Identifier: MIT
"""Env directories of Portal-Env: spec.yml, env_main.py and an optional env_setup.py."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envring.errors import SourceError
from envring.launchers.micromamba import Micromamba
from envring.launchers.sources import EnvSource
from envring.prefixes import recipes

SPEC_FILES = ("spec.yml", "spec.yaml", "environment.yml", "environment.yaml", "spec.txt")
SETUP_FILE = "env_setup.py"
MAIN_FILE = "env_main.py"


def open_directory(
    path: str | os.PathLike[str],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    solver: str | None = None,
    sandbox: bool = False,
) -> tuple[EnvSource, Micromamba]:
    """The source and the launcher of an env directory, which needs no change.

    Args:
        path: the directory; a "dir:" before it is ignored. "recipe:NAME" is a directory that
            comes with envring.
        args: of the factory that its env_main.py gives to EnvSidePortal.
        kwargs: its keyword arguments.
        solver: which program installs the packages; see Micromamba.
        sandbox: whether workers run without network, on a read-only file system.

    Returns:
        The source of the env, and its launcher.

    Raises:
        SourceError: if the directory lacks a file, or an argument is not plain data.
        SpecError: if there is no recipe of that name.
    """
    text = os.fspath(path)
    if text.startswith("recipe:"):
        directory = recipes.find(text.removeprefix("recipe:")).directory
    else:
        directory = Path(text.removeprefix("dir:")).expanduser().absolute()
    if not directory.is_dir():
        raise SourceError(f"There is no env directory '{directory}'.")
    specs = [directory / name for name in SPEC_FILES if (directory / name).is_file()]
    main = directory / MAIN_FILE
    if not specs or not main.is_file():
        missing = SPEC_FILES[0] if not specs else MAIN_FILE
        raise SourceError(
            f"The env directory '{directory}' has no {missing}: spec.yml lists the packages, and "
            "env_main.py builds the env (from portal_env import EnvSidePortal)."
        )
    setup = directory / SETUP_FILE
    launcher = Micromamba(
        str(specs[0]),
        setup=str(setup) if setup.is_file() else None,
        solver=solver,
        portal=True,
        sandbox=sandbox,
    )
    source = EnvSource(str(main), args=tuple(args), kwargs=dict(kwargs or {}), portal=True)
    return source, launcher
