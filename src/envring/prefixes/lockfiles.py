# SPDX-License-Identifier: MIT
"""Files by which other programs fix or name packages: taken, or refused with the way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envring.errors import SpecError
from envring.prefixes.documents import parse

_EXPORTED = re.compile(r"[A-Za-z0-9_.-]+=[^=\s]+=[^=\s]+")


@dataclass(frozen=True)
class Locked:
    """The packages that such a file fixes.

    Attributes:
        explicit: URLs of conda packages, with "#" and a checksum; None: `dependencies` count.
        dependencies: conda match specs.
        pip: lines for `pip install -r`.
    """

    explicit: tuple[str, ...] | None = None
    dependencies: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


def recognise(path: Path, text: str) -> Callable[[Path, str, str], Locked] | None:
    """Returns the function that reads this kind of file, None for an environment file.

    Args:
        path: the file.
        text: its content.

    Raises:
        SpecError: it is of a kind that cannot be taken.
    """
    if path.name == "pixi.toml" or (path.suffix == ".toml" and "[tool.pixi" in text):
        raise SpecError(
            f"'{path}' is a project of pixi, not a spec. Use its lockfile pixi.lock instead, or "
            "make a spec of it: pixi workspace export conda-environment spec.yml"
        )
    if re.search(r"(?m)^package:\s*$", text) and re.search(r"(?m)^version:\s*1\s*$", text):
        return _conda_lock
    if path.name == "pixi.lock" or re.match(r"version:\s*\d+\n(platforms|environments):", text):
        return _pixi_lock
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if lines and all(map(_EXPORTED.fullmatch, lines)):
        return _export
    return None


def _export(path: Path, text: str, platform: str) -> Locked:
    """Reads what `conda list --export` prints."""
    made_for = re.search(r"(?m)^#\s*platform:\s*(\S+)", text)
    if made_for and made_for[1] != platform:
        raise SpecError(_elsewhere(path, made_for[1], platform))
    packages, pip = [], []
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith("#"):
            name, version, build = line.split("=")
            # conda marks what pip installed with this build
            if build.startswith("pypi"):
                pip.append(f"{name}=={version}")
            else:
                packages.append(line)
    if not packages:
        raise SpecError(f"'{path}' lists no conda packages; it needs at least python.")
    return Locked(None, tuple(packages), tuple(pip))


def _conda_lock(path: Path, text: str, platform: str) -> Locked:
    """Reads the conda-lock.yml of conda-lock, without its optional packages."""
    data, _ = parse(path, text)
    with _shape(path, "conda-lock"):
        every = data["package"]
        here = [each for each in every if each["platform"] == platform]
        wanted = [each for each in here if not each.get("optional")]
        wanted = [each for each in wanted if each.get("category", "main") == "main"]
        conda = [_url(each["url"], each["hash"]) for each in wanted if each["manager"] == "conda"]
        pip = [f"{each['name']} @ {each['url']}" for each in wanted if each["manager"] == "pip"]
        if not here:
            others = ", ".join(sorted({str(each["platform"]) for each in every}))
            raise SpecError(_elsewhere(path, others, platform))
    return Locked(tuple(conda), pip=tuple(pip))


def _pixi_lock(path: Path, text: str, platform: str) -> Locked:
    """Reads the default environment of a pixi.lock."""
    data, _ = parse(path, text)
    with _shape(path, "pixi"):
        environment = data["environments"]["default"]["packages"]
        if platform not in environment:
            raise SpecError(_elsewhere(path, ", ".join(environment), platform))
        known = {each.get("conda") or each.get("pypi"): each for each in data["packages"]}
        conda, pip = [], []
        for each in environment[platform]:
            if "conda" in each:
                conda.append(_url(each["conda"], known[each["conda"]]))
            else:
                pip.append(_requirement(path, each["pypi"], known[each["pypi"]]))
    return Locked(tuple(conda), pip=tuple(pip))


def _url(url: str, checksums: dict[str, Any]) -> str:
    if checksums.get("md5"):
        return f"{url}#{checksums['md5']}"
    return f"{url}#sha256:{checksums['sha256']}" if checksums.get("sha256") else url


def _requirement(path: Path, location: str, package: dict[str, Any]) -> str:
    if "://" in location:
        return f"{package['name']} @ {location}"
    return f"./{location}" if (path.parent / location).exists() else location


@contextmanager
def _shape(path: Path, program: str) -> Iterator[None]:
    """Refuses a file that has another shape than the known versions of a program write."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise SpecError(
            f"'{path}' is a lockfile of {program}, of a version that is not known here "
            f"({type(error).__name__}: {error}). Make an explicit lockfile: {_WAYS[program]}"
        ) from error


_WAYS = {
    "pixi": "pixi workspace export conda-explicit-spec .",
    "conda-lock": "conda-lock render --kind explicit",
}


def _elsewhere(path: Path, made_for: str, platform: str) -> str:
    return (
        f"'{path}' was made for {made_for}, but this machine is {platform}: "
        "make a lockfile on this machine, or use the environment file that it came from."
    )
