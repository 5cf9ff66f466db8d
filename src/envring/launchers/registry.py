# SPDX-License-Identifier: MIT
"""Launchers by name: "prefix:PATH", and what other packages add.

A package adds one through the entry-point group `envring.launchers`: the entry point's name is the
scheme, and its object is called with the text after the colon and returns a `Launcher`.
"""

from __future__ import annotations

import difflib
import os
from importlib import import_module
from typing import TYPE_CHECKING

from envring.errors import EnvringError, LauncherError
from envring.launchers.base import Launcher

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "envring.launchers"


# name: module and class or function, imported when used; how to write it
_KNOWN = {
    "prefix": (
        *("prefix", "named_prefix"),
        "prefix:PATH (a venv, conda or micromamba prefix) or prefix:NAME (of `envring env list`)",
    ),
    "python": ("prefix", "Python", "python:EXECUTABLE"),
    "program": ("program", "Program", "program:PATH (a worker in another language)"),
    "micromamba": ("micromamba", "Micromamba", "micromamba:spec.yml"),
    "uv": ("uv", "Uv", "uv:requirements.txt or uv:script.py"),
    "docker": ("docker", "Docker", "docker:IMAGE"),
    "recipe": ("directories", "launcher_of", "recipe:NAME (of `envring env recipes`)"),
    "dir": ("directories", "launcher_of", "dir:PATH (a directory with spec.yml)"),
}


def resolve(launcher: str | Launcher | None) -> Launcher | None:
    """Returns the launcher that a user's argument means.

    Args:
        launcher: a `Launcher`, a string "scheme:rest", or None for the caller's own interpreter.

    Raises:
        LauncherError: it is none of these, its scheme is unknown, or a package's launcher fails.
    """
    if launcher is None or isinstance(launcher, Launcher):
        return launcher
    if not isinstance(launcher, str):
        raise LauncherError(_not_one(launcher))
    scheme, colon, rest = launcher.partition(":")
    if not colon or os.sep in scheme:
        raise LauncherError(f'"{launcher}" does not name a launcher.{_hint(launcher)}\n{known()}')
    if scheme in _KNOWN:
        module, name, usage = _KNOWN[scheme]
        if not rest.strip():
            raise LauncherError(f'"{launcher}" has nothing after the colon: write {usage}.')
        make = getattr(import_module(f"envring.launchers.{module}"), name)
        made = make(launcher if module == "directories" else rest)
        assert isinstance(made, Launcher)
        return made
    return _from_entry_point(scheme, rest)


def known() -> str:
    """Returns the launchers that a string can name, as lines for an error."""
    lines = [usage for _, _, usage in _KNOWN.values()]
    lines += [f"{point.name}:... (of {_package(point)})" for point in _entry_points()]
    return "The launchers are:\n" + "\n".join(f"  {line}" for line in lines)


def _entry_points() -> list[EntryPoint]:
    from importlib.metadata import entry_points  # slow, and rarely wanted

    # a package cannot replace a built-in name: the same string would mean different things
    found = (point for point in entry_points(group=GROUP) if point.name not in _KNOWN)
    return sorted(found, key=lambda point: (point.name, _package(point)))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an unknown package"


def _from_entry_point(scheme: str, rest: str) -> Launcher:
    points = _entry_points()
    named = [point for point in points if point.name == scheme]
    if not named:
        names = [*_KNOWN, *(point.name for point in points)]
        close = difflib.get_close_matches(scheme, names, n=1)
        advice = f' Did you mean "{close[0]}:{rest}"?' if close else ""
        raise LauncherError(f'There is no launcher "{scheme}".{advice}\n{known()}')
    if len({point.value for point in named}) > 1:
        packages = ", ".join(map(_package, named))
        raise LauncherError(
            f'Several packages add a launcher "{scheme}": {packages}. Remove all but one, or pass '
            "a Launcher object instead of the string."
        )
    point = named[0]
    source = f'launcher "{scheme}" ({point.value}, of {_package(point)})'
    try:
        make = point.load()
    except Exception as error:
        raise LauncherError(
            f"The {source} cannot be imported: {type(error).__name__}: {error}. "
            "Fix or remove that package."
        ) from error
    try:
        launcher = make(rest)
    except EnvringError:
        raise
    except Exception as error:
        raise LauncherError(
            f"The {source} rejected {rest!r}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(launcher, Launcher):
        raise LauncherError(
            f"The {source} returned {launcher!r}, which is not an envring Launcher."
        )
    return launcher


def _not_one(given: object) -> str:
    if isinstance(given, type) and issubclass(given, Launcher):
        name = given.__name__
        return f"{name} is a launcher class: pass an instance, {name}(...)."
    return f"A launcher must be a Launcher, a string or None, not {given!r}.{_hint(given)}"


def _hint(given: object) -> str:
    """Returns what the user may have meant by this."""
    if not isinstance(given, (str, os.PathLike)):
        return ""
    path = os.path.expanduser(os.fspath(given))
    if not isinstance(path, str) or "\0" in path:
        return ""
    if path.endswith((".yml", ".yaml")):
        scheme = "micromamba"
    elif path.endswith((".txt", ".py")):
        scheme = "uv"
    elif os.path.isdir(path):
        scheme = "prefix"
    elif os.path.isfile(path) and os.access(path, os.X_OK):
        scheme = "python"
    else:
        return ""
    return f' Did you mean "{scheme}:{os.fspath(given)!s}"?'
