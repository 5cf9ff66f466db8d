# SPDX-License-Identifier: MIT
"""Workers in an existing interpreter: in a prefix, or named as an executable."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape, glob

from envring.errors import InterpreterError, LauncherError
from envring.launchers import activation, environment, executable, sandbox
from envring.launchers.base import INTERPRETER_FLAGS, Launch, Launcher, Needs, absolute_path
from envring.prefixes import cache

_NAMES = ("python", "python3", "python2", "pypy3", "pypy")
_NAME = re.compile(r"[^\s/~\0][^/\0]*")  # looked up on PATH; anything else is a path


@dataclass(frozen=True)
class Prefix(Launcher):
    """A venv, virtualenv, conda, micromamba or pyenv prefix: a directory that holds `bin/python`.

    The prefix is activated: `VIRTUAL_ENV` or `CONDA_PREFIX`, `bin` first on `PATH`, variables and
    activation scripts of conda packages. The caller's own interpreter settings do not reach it.

    Attributes:
        path: the directory.
        sandbox: whether workers run without network, on a read-only file system.
    """

    path: str

    def __post_init__(self) -> None:
        """Makes the path absolute.

        Raises:
            LauncherError: it is not a path.
        """
        object.__setattr__(self, "path", absolute_path(self.path, "Prefix(path)"))

    def prepare(self, needs: Needs) -> Launch:
        """Finds the interpreter and activates the prefix.

        Raises:
            InterpreterError: the directory holds no interpreter that can run here.
            LauncherError: bubblewrap, which the sandbox needs, is missing or fails.
        """
        python = find_python(self.path)
        return _launch(self, python, self.path, f"prefix {self.path}", needs)


def named_prefix(text: str) -> Prefix:
    """Returns the prefix of "prefix:TEXT": a path, or the name of one in the cache.

    Raises:
        LauncherError: several in the cache have that name, or it is not ready.
    """
    if os.sep in text or text.startswith("~") or os.path.lexists(text):
        return Prefix(text)
    # not by the beginning of a key, as on the command line: programs should not guess
    found = [each for each in cache.find(text) if text in (each.key, each.name)]
    if not found:
        return Prefix(text)
    if len(found) > 1:
        keys = ", ".join(each.key for each in found)
        raise LauncherError(
            f'"prefix:{text}" matches several prefixes of the cache: {keys}. Name one of them.'
        )
    if found[0].ready() is None:
        raise LauncherError(
            f"The prefix {found[0].key} is not ready: its state is {found[0].state()}; build it "
            f"with: envring env create. Log: {found[0].log}"
        )
    return Prefix(str(found[0].prefix))


@dataclass(frozen=True)
class Python(Launcher):
    """An interpreter, named by its executable.

    The executable of a venv or of a conda prefix means the same as `Prefix` of that directory.

    Attributes:
        executable: its path, or a name such as "python3.9" to look up on PATH.
        sandbox: whether workers run without network, on a read-only file system.
    """

    executable: str

    def __post_init__(self) -> None:
        """Makes a path absolute; a plain name is looked up when workers start.

        Raises:
            LauncherError: it is neither a path nor a name.
        """
        given = self.executable
        if isinstance(given, str) and _NAME.fullmatch(given):
            return
        object.__setattr__(self, "executable", absolute_path(given, "Python(executable)"))

    def prepare(self, needs: Needs) -> Launch:
        """Finds the interpreter and activates its prefix.

        Raises:
            InterpreterError: it is missing or cannot run here.
            LauncherError: bubblewrap, which the sandbox needs, is missing or fails.
        """
        path = self.executable
        if _NAME.fullmatch(path):
            path = _on_path(path)
        executable.check(path, f"The interpreter {path}")
        _refuse_shim(path)
        prefix = os.path.dirname(os.path.dirname(path))
        return _launch(self, path, prefix, f"interpreter {path}", needs)


def _launch(launcher: Launcher, python: str, prefix: str, name: str, needs: Needs) -> Launch:
    environ = activation.activate(prefix, environment.clean(os.environ))
    environment.override(environ, needs.environ)
    version = _version(prefix)
    launch = Launch(
        argv=(python, *INTERPRETER_FLAGS),
        environ=environ,
        description=f"{name} ({version})" if version else name,
    )
    return sandbox.confine(launch, launcher.sandbox, python, needs)


def find_python(prefix: str) -> str:
    """Returns the path of a prefix's interpreter.

    Args:
        prefix: absolute path.

    Raises:
        InterpreterError: the prefix holds no interpreter that can run here.
    """
    found = [path for name in _NAMES if os.path.lexists(path := os.path.join(prefix, "bin", name))]
    if not found:
        raise InterpreterError(_no_python(prefix))
    executable.check(found[0], f"The interpreter {found[0]}")
    return found[0]


def _no_python(prefix: str) -> str:
    if not os.path.lexists(prefix):
        beside = os.path.dirname(prefix)
        if not os.path.isdir(beside):
            return f"There is no prefix {prefix}, and no directory {beside}. Check the path."
        prefixes = _prefixes_in(beside)
        there = f" In {beside} there are {_listed(prefixes)}." if prefixes else ""
        return f"There is no prefix {prefix}. Check the path.{there}"
    if not os.path.isdir(prefix):
        advice = ""
        if os.access(prefix, os.X_OK):
            advice = f' For an interpreter use Python("{prefix}") or "python:{prefix}".'
        return f"{prefix} is a file, but a prefix is the directory that holds bin/python.{advice}"
    if not os.access(prefix, os.X_OK):
        return f"This user has no permission to enter the directory {prefix}."
    if glob(os.path.join(prefix, "Scripts", "python*.exe")) or os.path.exists(
        os.path.join(prefix, "python.exe")
    ):
        return f"{prefix} is a prefix for Windows. Create the environment on this machine."
    if activation.is_conda(prefix):
        return f"The conda prefix {prefix} has no Python. Install one in it: conda install python"
    text = f"The directory {prefix} holds no bin/python, so it is not a prefix."
    if any(os.path.lexists(os.path.join(prefix, name)) for name in _NAMES):
        return f"{text} It looks like the bin directory of {os.path.dirname(prefix)}: use that."
    inside = _prefixes_in(prefix)
    return f"{text} Did you mean one of these: {_listed(inside)}?" if inside else text


def _prefixes_in(directory: str) -> list[str]:
    names: set[str] = set()
    for pattern in ("*", ".*"):
        for name in _NAMES[:2]:
            found = glob(os.path.join(escape(directory), pattern, "bin", name))
            names.update(os.path.dirname(os.path.dirname(path)) for path in found)
    return sorted(names)


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths[:8]) + (", ..." if len(paths) > 8 else "")


def _version(prefix: str) -> str:
    """Returns "Python 3.9", from the name of the library directory, or "" if that is unclear."""
    names = {os.path.basename(path) for path in glob(os.path.join(prefix, "lib", "*[0-9].[0-9]*"))}
    versions = [name for name in names if name.startswith(("python", "pypy"))]
    if len(versions) != 1:
        return ""
    return versions[0].replace("python", "Python ").replace("pypy", "PyPy ")


def _on_path(name: str) -> str:
    """Looks a name up on PATH, without pyenv's shims: they need variables that are removed."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    real = [entry for entry in entries if not _is_shims(entry)]
    found = shutil.which(name, path=os.pathsep.join(real))
    if found is not None:
        return os.path.abspath(found)
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    candidates = sorted(glob(os.path.join(escape(root), "versions", "*", "bin", name)))
    advice = f" pyenv has {_listed(candidates)}: use one of them." if candidates else ""
    raise InterpreterError(f'There is no interpreter "{name}" on PATH.{advice}')


def _is_shims(directory: str) -> bool:
    return os.path.basename(directory.rstrip(os.sep)) == "shims"


def _refuse_shim(path: str) -> None:
    if _is_shims(os.path.dirname(path)):
        raise InterpreterError(
            f"{path} is a shim that chooses among interpreters. Use the interpreter itself: "
            f"`pyenv which {os.path.basename(path)}` prints its path."
        )
