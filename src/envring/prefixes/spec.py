# SPDX-License-Identifier: MIT
"""Files that list the packages of a prefix: conda's environment files, explicit lockfiles."""

from __future__ import annotations

import difflib
import hashlib
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from envring.errors import LauncherError, SpecError
from envring.prefixes import requirements
from envring.prefixes.documents import parse

if TYPE_CHECKING:
    from envring.prefixes import lockfiles

KEYS = ("name", "channels", "channel_priority", "dependencies", "variables")
# what conda and the programs around it write into such files, and does not change a prefix
IGNORED = ("prefix", "platforms", "category")
DEFAULT_CHANNELS = ("conda-forge",)
_SYSTEMS = {"unix": "linux"}  # names of selectors that no platform begins with
MACHINES = {"x86_64": "linux-64", "aarch64": "linux-aarch64", "ppc64le": "linux-ppc64le"}


@dataclass(frozen=True)
class Spec:
    """The packages that one file asks for.

    Attributes:
        path: the file, absolute.
        name: its `name:`, else taken from the file or its directory.
        channels: conda channels, highest priority first; local ones as file URLs.
        dependencies: conda match specs.
        explicit: package URLs of an explicit lockfile, None for an environment file.
        pip: lines for `pip install -r`; paths in them are absolute.
        variables: environment variables to set in the prefix, (name, value).
        watched: local files that the pip lines name; their content is part of the spec's content.
        priority: the spec's `channel_priority`, or None.
        configured: when channels of conda's configuration are used: "instead" of `channels`, which
            the spec does not name, "after" them, or "never" (the spec says "nodefaults").
    """

    path: Path
    name: str
    channels: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    explicit: tuple[str, ...] | None = None
    pip: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    watched: tuple[Path, ...] = ()
    priority: str | None = None
    configured: Literal["instead", "after", "never"] = "after"

    def content(self) -> dict[str, Any]:
        """Returns everything that determines what a prefix of this spec holds, as data."""
        # prefixes of specs without a priority keep the hash that they had before there was one
        priority = {"channel_priority": self.priority} if self.priority else {}
        return {
            **priority,
            "channels": self.channels,
            "dependencies": self.dependencies,
            "explicit": self.explicit,
            "pip": self.pip,
            "variables": self.variables,
            "watched": [(str(path), digest(path)) for path in self.watched],
        }


def this_platform() -> str:
    """Returns conda's name of this platform: "linux-64".

    Raises:
        LauncherError: conda does not support it.
    """
    machine = platform.machine()
    try:
        return MACHINES[machine]
    except KeyError:
        raise LauncherError(f"There are no conda packages for {machine} on Linux.") from None


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file's content, in hex digits.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SpecError(f"'{path}' cannot be read: {error.strerror}.") from error


def load(path: str | Path, portal: bool = False) -> Spec:
    """Reads a spec.

    Args:
        path: a conda environment file (spec.yml, environment.yml), an explicit lockfile, what
            `conda list --export` prints, or the lockfile of conda-lock or pixi.
        portal: whether it is part of an env directory of Portal-Env, whose package is not needed.

    Returns:
        The spec, with all paths absolute.

    Raises:
        SpecError: it is missing or malformed.
        LauncherError: PyYAML is not installed.
    """
    path = Path(path).expanduser().absolute()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"There is no spec '{path}'.") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"'{path}' is not UTF-8 text: {error}.") from error
    except OSError as error:
        raise SpecError(f"The spec '{path}' cannot be read: {error.strerror}.") from error
    if any(line.strip() == "@EXPLICIT" for line in text.splitlines()):
        return _explicit(path, text)
    if not re.search(r"(?m)^dependencies\s*:", text):
        from envring.prefixes import lockfiles  # most starts need only an environment file

        read = lockfiles.recognise(path, text)
        if read is not None:
            return _locked(path, read(path, text, this_platform()))
    return _environment(path, text, portal)


def _locked(path: Path, found: lockfiles.Locked) -> Spec:
    generic = path.name in ("pixi.lock", "conda-lock.yml")
    packages = list(found.dependencies)
    if found.pip and packages and not any(each.startswith("pip=") for each in packages):
        packages.append("pip")
    return Spec(
        path,
        path.parent.name if generic else path.stem,
        channels=DEFAULT_CHANNELS if found.explicit is None else (),
        dependencies=tuple(packages),
        explicit=found.explicit,
        pip=_pip(path, list(found.pip)).lines,
        configured="instead",
    )


def _explicit(path: Path, text: str) -> Spec:
    urls = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        wanted = re.match(r"#\s*platform:\s*(\S+)", line)
        if wanted and wanted[1] not in (this_platform(), "noarch"):
            raise SpecError(
                f"'{path}' was made for {wanted[1]}, but this machine is {this_platform()}: "
                "make a lockfile on this machine, or use the environment file that it came from."
            )
        if not line or line.startswith(("#", "@")):
            continue
        location = line.partition("#")[0]
        if not re.match(r"(https?|file)://", location):
            local = (path.parent / location).absolute()
            if not local.exists():
                raise SpecError(
                    f"'{path}', line {number}: {line!r} is neither the URL of a package nor a file."
                )
            line = local.as_uri() + line[len(location) :]
            location = line.partition("#")[0]
        if not location.endswith((".conda", ".tar.bz2")):
            raise SpecError(f"'{path}', line {number}: {location!r} is not a conda package.")
        urls.append(line)
    if not urls:
        raise SpecError(f"'{path}' has no packages below @EXPLICIT.")
    return Spec(path, path.stem, explicit=tuple(urls))


def _environment(path: Path, text: str, portal: bool) -> Spec:
    data, lines = parse(path, text)
    if not isinstance(data, dict):
        raise SpecError(
            f"'{path}' does not hold a mapping; it needs at least 'dependencies:' and a list."
        )
    for key in data:
        if key not in (*KEYS, *IGNORED):
            raise SpecError(_unknown(path, str(key), lines))
    name = data.get("name")
    if name is None:
        generic = path.stem in ("spec", "environment", "env")
        name = path.parent.name if generic else path.stem
    if not isinstance(name, str | int | float):
        raise SpecError(f"'{path}': 'name' must be text, not {name!r}.")
    named = _texts(path, "channels", data.get("channels") or [])
    channels = [_channel(each, path.parent) for each in named if each != "nodefaults"]
    priority = data.get("channel_priority")
    packages, pip = _dependencies(path, data.get("dependencies"))
    if pip and not any(re.match(r"(.*::)?pip([\s=<>!~\[]|$)", each) for each in packages):
        packages.append("pip")
    resolved = _pip(path, pip)
    pip_lines = list(resolved.lines)
    if portal:
        pip_lines = requirements.without_portal(pip_lines, packages)
    return Spec(
        path,
        str(name),
        channels=tuple(channels) or DEFAULT_CHANNELS,
        dependencies=tuple(packages),
        pip=tuple(pip_lines),
        variables=_variables(path, data.get("variables")),
        watched=resolved.watched,
        priority=None if priority is None else _priority(path, priority),
        configured="never" if "nodefaults" in named else "after" if channels else "instead",
    )


def _priority(path: Path, value: Any) -> str:
    from envring.prefixes import condarc

    return condarc.priority(path, value)


def _pip(path: Path, lines: list[str]) -> requirements.Resolved:
    try:
        return requirements.resolve(lines, path.parent)
    except requirements.RequirementsError as error:
        raise SpecError(f"'{path}', pip section: {error}") from error


def _unknown(path: Path, key: str, lines: dict[str, int]) -> str:
    close = difflib.get_close_matches(key, KEYS, 1)
    meant = f"; did you mean {close[0]!r}?" if close else "."
    return (
        f"'{path}', line {lines.get(key, 1)}: unknown key {key!r}{meant} "
        f"The keys of a spec are {', '.join(KEYS)}."
    )


def _texts(path: Path, key: str, values: Any) -> list[str]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise SpecError(f"'{path}': {key!r} must be a list, not {values!r}.")
    for value in values:
        if not isinstance(value, str):
            raise SpecError(f"'{path}': {key!r} holds {value!r}, which is not text: quote it.")
    return [value.strip() for value in values]


def _dependencies(path: Path, values: Any) -> tuple[list[str], list[str]]:
    if not values:
        raise SpecError(f"'{path}' lists no dependencies; it needs at least python.")
    if not isinstance(values, list):
        raise SpecError(f"'{path}': 'dependencies' must be a list, not {values!r}.")
    packages: list[str] = []
    pip: list[str] = []
    for value in values:
        if isinstance(value, dict):
            for key, inner in value.items():
                system = re.fullmatch(r"sel\((\w+)\)", str(key))  # micromamba's selectors
                if system:
                    if this_platform().startswith(_SYSTEMS.get(system[1], system[1])):
                        inner = [inner] if isinstance(inner, str) else inner
                        packages += _texts(path, str(key), inner)
                elif key == "pip":
                    pip += _texts(path, "pip", inner or [])
                else:
                    raise SpecError(
                        f"'{path}': among the dependencies only 'pip' may have a list, "
                        f"not {key!r}; write a version as 'name=1.2'."
                    )
        else:
            packages += _texts(path, "dependencies", [value])
    if not packages:
        raise SpecError(f"'{path}' lists no conda packages; it needs at least python.")
    return packages, pip


def _channel(channel: str, directory: Path) -> str:
    """Returns a channel's name or URL; a directory becomes a file URL."""
    if channel.startswith(("./", "../", "/", "~")):
        return (directory / Path(channel).expanduser()).resolve().as_uri()
    return channel


def _variables(path: Path, values: Any) -> tuple[tuple[str, str], ...]:
    if not values:
        return ()
    if not isinstance(values, dict):
        raise SpecError(f"'{path}': 'variables' must map names to text, not {values!r}.")
    for name, value in values.items():
        if not isinstance(name, str) or isinstance(value, dict | list | type(None)):
            raise SpecError(f"'{path}': the value of variable {name!r} is not text: {value!r}.")
    return tuple(sorted((name, str(value)) for name, value in values.items()))
