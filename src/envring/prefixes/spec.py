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
from typing import Any

from envring.errors import LauncherError, SpecError
from envring.prefixes import requirements

KEYS = ("name", "channels", "dependencies", "variables", "prefix")
DEFAULT_CHANNELS = ("conda-forge",)
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
    """

    path: Path
    name: str
    channels: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    explicit: tuple[str, ...] | None = None
    pip: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    watched: tuple[Path, ...] = ()

    def content(self) -> dict[str, Any]:
        """Returns everything that determines what a prefix of this spec holds, as data."""
        return {
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
        path: a conda environment file (spec.yml, environment.yml) or an explicit lockfile.
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
    return _environment(path, text, portal)


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


def _parse_yaml(path: Path, text: str) -> tuple[Any, dict[str, int]]:
    """Returns the document, and the line number of each of its keys."""
    try:
        import yaml
    except ImportError:
        raise LauncherError("Reading a spec needs PyYAML: pip install 'envring[conda]'.") from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        data = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        problem = getattr(error, "problem", None) or str(error)
        raise SpecError(f"'{path}'{where}: this is not YAML: {problem}.") from error
    finally:
        loader.dispose()
    lines = {}
    if isinstance(node, yaml.MappingNode):
        lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    return data, lines


def _environment(path: Path, text: str, portal: bool) -> Spec:
    data, lines = _parse_yaml(path, text)
    if not isinstance(data, dict):
        raise SpecError(
            f"'{path}' does not hold a mapping; it needs at least 'dependencies:' and a list."
        )
    for key in data:
        if key not in KEYS:
            raise SpecError(_unknown(path, str(key), lines))
    name = data.get("name")
    if name is None:
        generic = path.stem in ("spec", "environment", "env")
        name = path.parent.name if generic else path.stem
    if not isinstance(name, str | int | float):
        raise SpecError(f"'{path}': 'name' must be text, not {name!r}.")
    channels = [
        _channel(channel, path.parent)
        for channel in _texts(path, "channels", data.get("channels") or [])
        if channel != "nodefaults"
    ]
    packages, pip = _dependencies(path, data.get("dependencies"))
    if pip and not any(re.match(r"(.*::)?pip([\s=<>!~\[]|$)", each) for each in packages):
        packages.append("pip")
    try:
        resolved = requirements.resolve(pip, path.parent)
    except requirements.RequirementsError as error:
        raise SpecError(f"'{path}', pip section: {error}") from error
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
    )


def _unknown(path: Path, key: str, lines: dict[str, int]) -> str:
    close = difflib.get_close_matches(key, KEYS, 1)
    meant = f"; did you mean {close[0]!r}?" if close else "."
    return (
        f"'{path}', line {lines.get(key, 1)}: unknown key {key!r}{meant} "
        f"The keys of a spec are {', '.join(KEYS[:-1])}."
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
            other = [key for key in value if key != "pip"]
            if other:
                raise SpecError(
                    f"'{path}': among the dependencies only 'pip' may have a list, "
                    f"not {other[0]!r}; write a version as 'name=1.2'."
                )
            pip += _texts(path, "pip", value["pip"] or [])
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
