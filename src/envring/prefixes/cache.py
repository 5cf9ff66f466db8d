# SPDX-License-Identifier: MIT
"""Where built prefixes are kept, and what marks one as ready."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from envring.errors import SolveError
from envring.prefixes import lock

FORMAT = 1
_LONGEST_PREFIX = 254  # conda replaces a placeholder of 255 bytes in binaries, NUL included


def root() -> Path:
    """Returns the cache's directory: $ENVRING_CACHE, or envring in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("ENVRING_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG specification: ignore a relative path
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "envring"


@dataclass(frozen=True)
class Ready:
    """What is known of a finished prefix; the content of its marker file.

    Attributes:
        prefix: its directory.
        name: the spec's name.
        spec: path of the spec, when it was built.
        setup: path of the setup file that was run in it, or None.
        solver: which program built it.
        python: version of its Python.
        created: when, in seconds since the epoch.
        seconds: how long the build took.
    """

    prefix: str
    name: str
    spec: str
    setup: str | None
    solver: str
    python: str
    created: float = field(default_factory=time.time)
    seconds: float = 0.0

    @property
    def executable(self) -> str:
        """Its Python."""
        return os.path.join(self.prefix, "bin", "python")


@dataclass(frozen=True)
class Entry:
    """One prefix of the cache, in any state.

    Attributes:
        directory: holds the prefix and the files about it.
    """

    directory: Path

    @property
    def key(self) -> str:
        """Name and content hash."""
        return self.directory.name

    @property
    def name(self) -> str:
        """The name in the key."""
        return self.key.rpartition("-")[0]

    @property
    def prefix(self) -> Path:
        """The prefix. It cannot be moved: its files contain its path."""
        return self.directory / "prefix"

    @property
    def log(self) -> Path:
        """The output of the last build."""
        return self.directory / "build.log"

    @property
    def lock(self) -> Path:
        """The lock file, held during a build or removal."""
        return self.directory / "lock"

    @property
    def marker(self) -> Path:
        """Exists only if the prefix is ready."""
        return self.directory / "ready.json"

    @property
    def failure(self) -> Path:
        """Exists if the last build failed: its error."""
        return self.directory / "failed.json"

    def ready(self) -> Ready | None:
        """Returns what is known of the prefix, if it is ready and where it was built; else None."""
        try:
            found = json.loads(self.marker.read_bytes())
            ready = Ready(**found["ready"]) if found.get("format") == FORMAT else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        if ready is None or ready.prefix != str(self.prefix):
            return None
        return ready if os.access(ready.executable, os.X_OK) else None

    def publish(self, ready: Ready) -> None:
        """Marks the prefix ready, atomically."""
        write_whole(self.marker, {"format": FORMAT, "ready": asdict(ready)})

    def state(self) -> str:
        """Returns "ready", "building", "failed" or "unfinished"."""
        if self.ready():
            return "ready"
        if lock.is_held(self.lock):
            return "building"
        return "failed" if self.failure.exists() else "unfinished"

    def clear(self) -> None:
        """Removes what an earlier build left, the marker first. The lock must be held."""
        self.marker.unlink(missing_ok=True)
        self.failure.unlink(missing_ok=True)
        for unfinished in self.directory.glob(".*"):
            unfinished.unlink()
        delete_tree(self.prefix)

    def remove(self, deadline: float) -> None:
        """Removes the entry; waits for a running build.

        Args:
            deadline: time.monotonic() at which to give up.

        Raises:
            TimeoutError: the build takes too long.
            OSError: something cannot be removed.
        """
        with lock.hold(self.lock, deadline):
            self.clear()
            for path in list(self.directory.iterdir()):
                if path != self.lock:
                    delete_tree(path) if path.is_dir() else path.unlink()
            lock.discard(self.lock)


def entry(name: str, digest: str) -> Entry:
    """Returns the entry of a prefix.

    Args:
        name: short name to show.
        digest: hex digest of everything that determines its content.

    Raises:
        SolveError: its path is longer than conda packages allow.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:32] or "env"
    found = Entry(root() / "envs" / f"{slug}-{digest[:16]}")
    length = len(os.fsencode(found.prefix))
    if length > _LONGEST_PREFIX:
        raise SolveError(
            f"The path of the prefix '{found.prefix}' has {length} bytes, but conda packages allow "
            f"only {_LONGEST_PREFIX}: set ENVRING_CACHE to a shorter directory."
        )
    return found


def entries() -> Iterator[Entry]:
    """Yields all entries of the cache, sorted by key."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted((root() / "envs").iterdir()):
            if path.is_dir():
                yield Entry(path)


def find(name: str) -> list[Entry]:
    """Returns the entries with this key, else with this name, else whose key begins with it."""
    every = list(entries())
    exact = [each for each in every if each.key == name or str(each.prefix) == name]
    named = [each for each in every if each.name == name]
    return exact or named or [each for each in every if each.key.startswith(name)]


def write_whole(path: Path, value: Any) -> None:
    """Writes JSON atomically: readers see all of it or the old file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def delete_tree(path: Path) -> None:
    """Deletes a directory, if it exists, with read-only directories in it."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except PermissionError:
        for directory, _, _ in os.walk(path):
            os.chmod(directory, 0o700)
        shutil.rmtree(path)


def size(path: Path) -> int:
    """Returns the bytes that deleting a tree would free; of a hard-linked file, its share."""
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(directory, name))
                total += found.st_blocks * 512 // max(1, found.st_nlink)
    return total
