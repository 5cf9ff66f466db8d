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
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import rattler
from rattler.exceptions import SolverError
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


def undotted(text: str) -> str:
    """Returns a match spec without a dot after a version: conda reads "=10." as "=10.*"."""
    end = r"\.(?=$|[\s,|=\]])"
    text = re.sub(rf"(?<![=<>!~])=\s*([\d.]*\d){end}", r"=\1.*", text)
    return re.sub(rf"(?<=\d){end}", "", text)


def channel_of(text: str) -> tuple[str, str]:
    """Returns the channel that a match spec names, or "", and the match spec without it."""
    inside = re.search(r"channel\s*=\s*[\"']?([^\"',\]]+)[\"']?,?\s*", text)
    if inside and text.find("[") in range(inside.start()):
        rest = (text[: inside.start()] + text[inside.end() :]).replace("[]", "")
        return inside[1], re.sub(r",\s*\]", "]", rest)
    name, found, rest = text.partition("::")
    if not found or "[" in name:
        return "", text
    subdirs = (str(rattler.Subdir.current()), "noarch")
    return name.removesuffix(f"/{subdirs[0]}").removesuffix(f"/{subdirs[1]}"), rest


class Question:
    """What a job asks for, in py-rattler's terms."""

    def __init__(self, job: dict[str, Any]) -> None:
        """Reads the channels; `place` reads the dependencies."""
        alias = job["alias"]
        self.config = rattler.ChannelConfig(alias) if alias else rattler.ChannelConfig()
        self.job = job
        self.channels = [self.channel(name) for name in job["channels"]]
        self.platforms = [rattler.Subdir.current(), rattler.Subdir("noarch")]
        self.client = client(job)
        self.gateway = rattler.Gateway(
            cache_dir=Path(job["packages"], "repodata"), client=self.client, show_progress=False
        )
        self.specs: list[Any] = []

    def channel(self, name: str) -> Any:
        """Returns a channel: by its URL, or by its name and the alias."""
        return rattler.Channel(name, self.config)

    async def place(self) -> None:
        """Reads the dependencies; a channel that one of them names is asked, too, as the last."""
        for text in self.job["dependencies"]:
            name, rest = channel_of(undotted(text))
            spec = rattler.MatchSpec(rest)
            if name:
                channel = await self.best(name, spec)
                if channel.base_url not in [each.base_url for each in self.channels]:
                    self.channels.append(channel)
                spec = rattler.MatchSpec(f"{channel.base_url.rstrip('/')}::{rest}")
            self.specs.append(spec)

    async def best(self, name: str, spec: Any) -> Any:
        """Returns the channel of a name; of those that "defaults" means, one that has the spec."""
        if name != "defaults":
            return self.channel(name)
        channels = [self.channel(each) for each in self.job["defaults"]]
        for channel in channels:
            if any(map(spec.matches, await self.candidates(spec, [channel]))):
                return channel
        return channels[0]

    async def candidates(self, spec: Any, channels: list[Any]) -> list[Any]:
        """Returns the records of a spec's package, of whatever version."""
        name = re.split(r"[\s=<>!~\[]", channel_of(str(spec))[1])[0]
        found = await self.gateway.query(channels, self.platforms, [name], recursive=False)
        return [record for each in found for record in each]

    async def missing(self) -> list[str]:
        """Returns a line for each of the specs that no package satisfies, others left aside."""
        lines = []
        for spec in self.specs:
            channels = [spec.channel] if spec.channel else self.channels
            found = await self.candidates(spec, channels)
            place = f" in {spec.channel.base_url}" if spec.channel else ""
            bare = rattler.MatchSpec(channel_of(str(spec))[1])
            if str(spec).startswith("__") or any(map(bare.matches, found)):
                continue
            versions = sorted({each.version for each in found})
            there = ", ".join(map(str, versions[-8:]))
            lines.append(
                f"No candidates were found for {bare}{place}"
                + (f"; there are {there}" if there else "")
            )
        return lines


def client(job: dict[str, Any]) -> Any:
    """Returns a client with the proxies and certificates that a job names; None: the usual one."""
    proxies, verify = job["proxies"], job["verify"]
    lines = []
    if verify is False:
        lines.append("tls-no-verify = true")
    elif verify is not True:
        os.environ["SSL_CERT_FILE"] = verify
        lines.append('tls-root-certs = "native"')
    schemes = {scheme: proxies[scheme] for scheme in ("http", "https") if scheme in proxies}
    if "all" in proxies:
        schemes = {"http": proxies["all"], "https": proxies["all"], **schemes}
    if schemes:
        lines.append("[proxy-config]")
        lines += [f"{scheme} = {json.dumps(url)}" for scheme, url in schemes.items()]
    if not lines:
        return None
    return rattler.Client.from_config(rattler.Config.from_toml("\n".join(lines)))


async def solved(job: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Returns records of the packages that satisfy a job's dependencies, and its match specs."""
    question = Question(job)
    say(f"looking for {', '.join(job['dependencies'])}")
    await question.place()
    say("in " + ", ".join(channel.base_url for channel in question.channels))
    try:
        records = await rattler.solve(
            sources=question.channels,
            specs=question.specs,
            platforms=question.platforms,
            virtual_packages=rattler.VirtualPackage.detect(
                rattler.VirtualPackageOverrides.from_env()
            ),
            channel_priority=rattler.ChannelPriority[job["priority"].capitalize()],
            gateway=question.gateway,
        )
    except SolverError as error:
        # py-rattler names the first of the missing ones only
        missing = await question.missing()
        raise ValueError("\n".join(missing) if missing else str(error)) from error
    return records, question.specs


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
        client=client(job),
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
