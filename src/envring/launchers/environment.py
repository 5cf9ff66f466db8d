# SPDX-License-Identifier: MIT
"""The environment variables of an interpreter that is not the caller's.

Settings of the caller's interpreter must not reach it: search paths, virtual environments,
activated conda environments, preloaded libraries.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping

# The last three: an env that imports MPI must not take its process for a rank of the caller's job
_DROPPED = (
    *("PYTHON", "VIRTUAL_ENV", "PYENV", "CONDA", "MAMBA", "PIXI_", "_CONDA", "_CE_"),
    *("LD_PRELOAD", "LD_AUDIT", "__PYVENV_LAUNCHER__", "OMPI_", "PMI_", "PMIX_"),
)
_SEARCHED = ("PATH", "LD_LIBRARY_PATH")
_SYSTEM = frozenset(("/", "/usr", "/usr/local"))


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the caller's environment variables without those of the caller's interpreter.

    Args:
        environ: the caller's variables, usually `os.environ`.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(_DROPPED)}
    roots = _interpreters_of(environ)
    for name in _SEARCHED:
        if name in kept:
            entries = [e for e in kept[name].split(os.pathsep) if not _is_below(e, roots)]
            kept[name] = os.pathsep.join(entries)
            if not kept[name]:
                del kept[name]
    kept.setdefault("PATH", os.defpath)
    kept["PYTHONNOUSERSITE"] = "1"  # as -s for the worker, also for what the env starts
    return kept


def put_first(environ: dict[str, str], directory: str) -> None:
    """Moves a directory to the front of PATH."""
    entries = [e for e in environ["PATH"].split(os.pathsep) if e and e != directory]
    environ["PATH"] = os.pathsep.join([directory, *entries])


def override(environ: dict[str, str], changes: Mapping[str, str | None]) -> None:
    """Sets variables; None removes one."""
    for name, value in changes.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value


def _interpreters_of(environ: Mapping[str, str]) -> set[str]:
    """Returns directories of environments that are active in the caller."""
    roots = {
        value
        for name, value in environ.items()
        if name in ("VIRTUAL_ENV", "CONDA_PREFIX") or name.startswith("CONDA_PREFIX_")
    }
    if sys.prefix != sys.base_prefix:
        roots.add(sys.prefix)
    # pyenv's shims depend on PYENV_VERSION and on files in the working directory
    roots.add(os.path.join(environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "shims"))
    return {os.path.normpath(root) for root in roots if root} - _SYSTEM


def _is_below(path: str, roots: Iterable[str]) -> bool:
    path = os.path.normpath(path)
    return any(path == root or path.startswith(root + os.sep) for root in roots)
