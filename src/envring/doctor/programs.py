# SPDX-License-Identifier: MIT
"""Programs and packages that some features use, and the cache of prefixes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

from envring.doctor.finding import Finding, output, size, warning
from envring.errors import LauncherError
from envring.launchers.sandbox import bubblewrap
from envring.prefixes import cache, solvers

_SECONDS = 4.0  # for a program to say its version
_OURS = ("test", "dev")  # extras for those who work on envring itself
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[(?P<extras>[^]]*)\])?[^;]*;.*\bextra == ['\"](?P<extra>[\w-]+)['\"]"
)


def compiler() -> Finding:
    """A C compiler, with which envring is built where there is no wheel."""
    for command in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        words = shlex.split(command)
        path = shutil.which(words[0]) if words else None
        if path is not None:
            version = (output([path, "--version"], _SECONDS) or "").partition("\n")[0]
            return Finding(version or path)
    return Finding("none, needed only to build envring from source (apt-get install gcc)")


def conda() -> Finding:
    """Programs that build prefixes from conda specs."""
    found = []
    with ThreadPoolExecutor() as threads:
        found = [text for text in threads.map(_solver, solvers.NAMES) if text]
    if not found:
        return Finding(
            "no micromamba, mamba, conda or py-rattler: only to build prefixes from conda specs "
            "(pip install 'envring[conda]')"
        )
    try:
        return Finding(f"{', '.join(found)}; {solvers.choose().title} is used")
    except LauncherError as error:
        return warning(", ".join(found), str(error))


def _solver(name: str) -> str:
    if name == "rattler":
        try:
            return f"py-rattler {metadata.version('py-rattler')}"
        except metadata.PackageNotFoundError:
            return ""
    path = shutil.which(name)
    if path is None:
        return ""
    version = output([path, "--version"], _SECONDS)
    return f"{name} {version.split()[-1] if version else '(does not answer)'}"


def sandbox() -> Finding:
    """Bubblewrap, for sandbox=True."""
    if shutil.which("bwrap") is None:
        return Finding("no bwrap: only for sandbox=True (apt-get install bubblewrap)")
    try:
        path = bubblewrap()
    except LauncherError as error:
        what, _, cure = str(error).partition(". ")
        return warning(what, cure or "Use Docker(..., sandbox=True), or run on another system.")
    return Finding(f"{output([path, '--version'], _SECONDS) or path} makes sandboxes")


def containers() -> Finding:
    """Engines for Docker(...)."""
    names = [name for name in ("docker", "podman") if shutil.which(name)]
    if not names:
        return Finding("no docker or podman: only for workers in containers")
    with ThreadPoolExecutor() as threads:
        answers = dict(zip(names, threads.map(_engine, names), strict=True))
    text = ", ".join(f"{name} {version or '(no answer)'}" for name, version in answers.items())
    if not any(answers.values()):
        return warning(
            text, f"Start the engine, or join its group: `{names[0]} version` says what is wrong."
        )
    return Finding(text)


def _engine(name: str) -> str | None:
    template = "{{.Server.Version}}" if name == "docker" else "{{.Client.Version}}"
    return output([name, "version", "--format", template], _SECONDS)


def extras() -> Finding:
    """Which extras of this package are installed."""
    try:
        requirements = metadata.requires("envring") or []
    except metadata.PackageNotFoundError:
        return Finding("unknown: envring is not installed, but imported from a directory")
    needed: dict[str, list[str]] = {}
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is not None and match["extra"] not in _OURS and match["name"] != "envring":
            needed.setdefault(match["extra"], []).append(match["name"])
    missing = sorted(extra for extra, names in needed.items() if not all(map(_installed, names)))
    there = sorted(needed.keys() - missing)
    text = f"installed: {', '.join(there) or 'none'}"
    if missing:
        text += f"; not: pip install 'envring[{','.join(missing)}]'"
    return Finding(text)


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def prefixes() -> Finding:
    """The cache of prefixes."""
    found: dict[str, list[str]] = {}
    for entry in cache.entries():
        found.setdefault(entry.state(), []).append(entry.key)
    text = f"{cache.root()}: {len(found.get('ready', []))} ready"
    used = output(["du", "-sxk", str(cache.root())], _SECONDS) if found else None
    if used is not None:
        text += f", {size(1024 * int(used.split()[0]))}"
    left = found.get("failed", []) + found.get("unfinished", [])
    if left:
        return warning(
            f"{text}; not finished: {', '.join(left)}",
            "Look at the log (envring env show NAME); envring env clean removes them.",
        )
    return Finding(text)
