# SPDX-License-Identifier: MIT
"""Installs conda packages with py-rattler: a separate program, run by path, like micromamba.

So threads of py-rattler never share a process with a caller that forks, and a caller that already
runs an event loop can build, too. It imports nothing from this package.

Usage: python rattler_install.py job.json
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import rattler
from rattler.explicit_environment.environment import ExplicitEnvironmentSpec

_EVERY = 0.5  # seconds between two lines on one download


def say(text: str) -> None:
    """Prints a line at once: the builder shows the last one."""
    print(text, flush=True)


class Reporter:
    """Prints downloads and links, a line each; py-rattler calls it."""

    def __init__(self) -> None:
        """Starts with empty counts."""
        self.names: dict[int, str] = {}
        self.total = 0
        self.linked = 0
        self.said = 0.0

    def on_transaction_start(self, total_operations: int) -> None:
        """Stores how many packages there are."""
        self.total = total_operations

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        """Stores which package a number means."""
        self.names[operation] = package_name
        return operation

    def on_download_start(self, cache_entry: int) -> int:
        """Prints that a download begins."""
        say(f"downloading {self.names.get(cache_entry, '')}")
        return cache_entry

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:
        """Prints the progress of a download, from time to time."""
        now = time.monotonic()
        if now - self.said >= _EVERY:
            self.said = now
            of = f" of {total / 1e6:.1f}" if total else ""
            say(f"downloading {self.names.get(download_idx, '')}: {progress / 1e6:.1f}{of} MB")

    def on_link_start(self, operation: int, package_name: str) -> int:
        """Prints that a package's files are linked."""
        self.linked += 1
        say(f"linking {package_name} ({self.linked} of {self.total})")
        return operation


def locked(lines: list[str]) -> list[Any]:
    """Returns records of the packages in an explicit lockfile, from their file names alone."""
    text = "\n".join(["@EXPLICIT", *lines])
    records = []
    for entry in ExplicitEnvironmentSpec.from_str(text).packages:
        url, _, checksum = entry.url.partition("#")
        base, _, file_name = url.rpartition("/")
        channel, _, subdir = base.rpartition("/")
        stem = file_name.removesuffix(".conda").removesuffix(".tar.bz2")
        name, version, build = stem.rsplit("-", 2)
        number = build.rpartition("_")[2]
        kind, _, value = checksum.rpartition(":")
        hashed = bytes.fromhex(value) if value else None
        record = rattler.PackageRecord(
            name,
            version,
            rattler.BuildString(build),
            int(number) if number.isdigit() else 0,
            subdir,
            sha256=hashed if kind == "sha256" else None,
            md5=None if kind == "sha256" else hashed,
        )
        records.append(rattler.RepoDataRecord(record, file_name, url, channel))
    return records


async def solved(job: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Returns records of the packages that satisfy a job's dependencies, and its match specs."""
    specs = [rattler.MatchSpec(each) for each in job["dependencies"]]
    alias = job["alias"]
    channels = [
        rattler.Channel(name, rattler.ChannelConfig(alias) if alias else rattler.ChannelConfig())
        for name in job["channels"]
    ]
    say(f"looking for {', '.join(job['dependencies'])}")
    say("in " + ", ".join(channel.base_url for channel in channels))
    records = await rattler.solve(
        sources=channels,
        specs=specs,
        platforms=[rattler.Subdir.current(), "noarch"],
        virtual_packages=rattler.VirtualPackage.detect(rattler.VirtualPackageOverrides.from_env()),
        channel_priority=rattler.ChannelPriority.Strict,
        gateway=rattler.Gateway(cache_dir=Path(job["packages"], "repodata"), show_progress=False),
    )
    return records, specs


def check_local(records: list[Any]) -> None:
    """Checks the checksums of files from local channels, as py-rattler does with downloads.

    Raises:
        ValueError: a checksum differs from that in the channel or lockfile.
    """
    for record in records:
        url = urlparse(record.url)
        if url.scheme != "file":
            continue
        content = Path(unquote(url.path)).read_bytes()
        for kind, wanted in (("sha256", record.sha256), ("md5", record.md5)):
            found = hashlib.new(kind, content, usedforsecurity=False).digest()
            if wanted and bytes(wanted) != found:
                raise ValueError(
                    f"{url.path} is damaged, or is another package than the one requested: its "
                    f"{kind} is {found.hex()}, but should be {bytes(wanted).hex()}"
                )


async def install(job: dict[str, Any]) -> None:
    """Solves and installs a job's packages."""
    specs: list[Any] = []
    if job["explicit"] is not None:
        records = locked(job["explicit"])
    else:
        records, specs = await solved(job)
    for record in sorted(records, key=lambda each: each.name.normalized):
        say(f"  {record.name.normalized} {record.version} {record.build}")
    check_local(records)
    reporter: Any = Reporter()  # implements part of py-rattler's protocol, which is allowed
    await rattler.install(
        records,
        target_prefix=job["prefix"],
        cache_dir=Path(job["packages"]),
        show_progress=False,
        reporter=reporter,
        execute_link_scripts=True,
        # py-rattler 0.28 rejects its own MatchSpec class here
        requested_specs=[spec._match_spec for spec in specs],
    )


def main() -> int:
    """Runs the job that the command line names; returns the exit code."""
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    try:
        asyncio.run(install(job))
    except Exception as error:
        say(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # not sys.exit: py-rattler's threads still run and sometimes crash an interpreter that ends
    os._exit(code)
