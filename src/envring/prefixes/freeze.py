# SPDX-License-Identifier: MIT
"""The packages of a finished prefix, in a form from which it can be built again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from envring.errors import SolveError


@dataclass(frozen=True)
class Package:
    """One package of a prefix.

    Attributes:
        name: its name in its index.
        version: exact.
        build: conda's build string, "" for one that pip installed.
        url: where it came from; "" for one that pip installed from an index.
        checksum: MD5 of conda's archive, or "".
        channel: conda's channel, or "".
    """

    name: str
    version: str
    build: str = ""
    url: str = ""
    checksum: str = ""
    channel: str = ""

    @property
    def pin(self) -> str:
        """The requirements line that makes pip install exactly this."""
        return f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Frozen:
    """All packages of a prefix, and the variables that its owner set, (name, value)."""

    name: str
    conda: tuple[Package, ...]
    pip: tuple[Package, ...]
    variables: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """Returns what it can be built from again: a spec, or requirements if conda is not used."""
        return self.environment() if self.conda else "".join(f"{each.pin}\n" for each in self.pip)

    def environment(self) -> str:
        """Returns a spec (YAML) with exact versions, pip's included."""
        channels = dict.fromkeys(package.channel for package in self.conda)
        lines = [f"name: {json.dumps(self.name)}", "channels:"]
        lines += [f"- {json.dumps(channel)}" for channel in channels]
        lines.append("dependencies:")
        lines += [
            f"- {json.dumps(f'{each.name}={each.version}={each.build}')}" for each in self.conda
        ]
        if self.pip:
            lines.append("- pip:")
            lines += [f"  - {json.dumps(each.pin)}" for each in self.pip]
        if self.variables:
            lines.append("variables:")
            lines += [f"  {json.dumps(n)}: {json.dumps(value)}" for n, value in self.variables]
        return "\n".join([*lines, ""])

    def explicit(self, platform: str) -> str:
        """Returns a lockfile of conda's packages; it cannot name those that pip installed.

        Args:
            platform: conda's name of it: "linux-64".
        """
        lines = [f"# platform: {platform}", "@EXPLICIT"]
        for each in self.conda:
            lines.append(f"{each.url}#{each.checksum}" if each.checksum else each.url)
        return "\n".join([*lines, ""])


def freeze(name: str, prefix: Path) -> Frozen:
    """Reads which packages a prefix holds, from its files alone.

    Args:
        name: name of the new spec.
        prefix: a conda prefix or a venv.

    Raises:
        SolveError: it is neither.
    """
    records = list(_records(prefix))
    if not records and not (prefix / "pyvenv.cfg").is_file():
        raise SolveError(f"'{prefix}' is neither a venv nor a conda prefix, or it is empty.")
    conda = [
        Package(
            record["name"],
            record["version"],
            record["build"],
            record.get("url") or "",
            record.get("md5") or "",
            _channel(record),
        )
        for record in records
    ]
    owned = {file for record in records for file in record.get("files", ())}
    return Frozen(
        name,
        tuple(sorted(conda, key=lambda each: each.name)),
        tuple(sorted(_pip(prefix, owned), key=lambda each: each.name.lower())),
        _variables(prefix),
    )


def _variables(prefix: Path) -> tuple[tuple[str, str], ...]:
    try:
        found = json.loads((prefix / "conda-meta/state").read_text(encoding="utf-8"))
        return tuple(sorted((name, str(value)) for name, value in found["env_vars"].items()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()


def _records(prefix: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SolveError(
                f"'{path}' cannot be read: {error}. Build the prefix again."
            ) from error
        if isinstance(record, dict) and {"name", "version", "build"} <= record.keys():
            yield record


def _channel(record: dict[str, Any]) -> str:
    """Returns a channel's URL, without the platform that some installers leave in it."""
    url = str(record.get("url") or "")
    channel = url.rpartition("/")[0] or str(record.get("channel") or "")
    return channel.removesuffix("/").removesuffix(f"/{record.get('subdir', '')}")


def _pip(prefix: Path, owned: set[str]) -> Iterator[Package]:
    """Yields installed distributions that do not belong to a conda package."""
    for pattern in ("*.dist-info/METADATA", "*.egg-info/PKG-INFO", "*.egg-info"):
        for path in prefix.glob(f"lib/python*/site-packages/{pattern}"):
            if str(path.relative_to(prefix)) in owned or not path.is_file():
                continue
            headers = HeaderParser().parsestr(path.read_text(encoding="utf-8", errors="replace"))
            if headers["Name"] and headers["Version"]:
                url = _direct_url(path.with_name("direct_url.json"))
                yield Package(headers["Name"], headers["Version"], url=url)


def _direct_url(path: Path) -> str:
    """Returns where pip installed a distribution from, "" if from an index."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        url = str(found["url"])
        vcs = found.get("vcs_info")
        return f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
