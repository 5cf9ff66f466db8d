# SPDX-License-Identifier: MIT
"""Where built prefixes are kept, and how one sees that one is ready."""

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
_LONGEST_PREFIX = 254  # conda replaces a placeholder of 255 bytes in binaries, with a NUL behind


def root() -> Path:
    """The cache's directory: $ENVRING_CACHE, else envring below $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("ENVRING_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # the convention: a relative one is not to be used
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "envring"


@dataclass(frozen=True)
class Ready:
    """What is known of a finished prefix; the content of its marker.

    Attributes:
        prefix: its directory.
        name: the spec's name.
        spec: the spec's file, when it was built.
        setup: the setup file that was run in it, or None.
        solver: what built it.
        python: version of its Python.
        created: seconds since the epoch.
        seconds: how long it took.
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
    """One prefix of the cache, whatever state it is in.

    Attributes:
        directory: holds the prefix and all that is known of it.
    """

    directory: Path

    @property
    def key(self) -> str:
        """Name and content hash."""
        return self.directory.name

    @property
    def prefix(self) -> Path:
        """The conda prefix. It cannot be moved: its files know where they are."""
        return self.directory / "prefix"

    @property
    def log(self) -> Path:
        """All that the last build said."""
        return self.directory / "build.log"

    @property
    def lock(self) -> Path:
        """Held by whoever builds or removes."""
        return self.directory / "lock"

    @property
    def marker(self) -> Path:
        """There only if the prefix is ready."""
        return self.directory / "ready.json"

    @property
    def failure(self) -> Path:
        """There if the last build failed: what it said."""
        return self.directory / "failed.json"

    def ready(self) -> Ready | None:
        """What is known of the prefix if it is ready and still where it was built."""
        try:
            found = json.loads(self.marker.read_bytes())
            ready = Ready(**found["ready"]) if found.get("format") == FORMAT else None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        if ready is None or ready.prefix != str(self.prefix):
            return None
        return ready if os.access(ready.executable, os.X_OK) else None

    def publish(self, ready: Ready) -> None:
        """Marks the prefix ready, at once or not at all."""
        write_whole(self.marker, {"format": FORMAT, "ready": asdict(ready)})

    def state(self) -> str:
        """In one word: ready, building, failed or unfinished."""
        if self.ready():
            return "ready"
        if lock.is_held(self.lock):
            return "building"
        return "failed" if self.failure.exists() else "unfinished"

    def clear(self) -> None:
        """Takes away what an earlier build left; the marker first. The lock must be held."""
        self.marker.unlink(missing_ok=True)
        self.failure.unlink(missing_ok=True)
        for unfinished in self.directory.glob(".*"):
            unfinished.unlink()
        delete_tree(self.prefix)

    def remove(self, deadline: float) -> None:
        """Removes all of it; waits for a builder.

        Raises:
            TimeoutError: if the builder takes too long.
            OSError: if something cannot be removed.
        """
        with lock.hold(self.lock, deadline):
            self.clear()
            for path in list(self.directory.iterdir()):
                if path != self.lock:
                    delete_tree(path) if path.is_dir() else path.unlink()
            lock.discard(self.lock)


def entry(name: str, digest: str) -> Entry:
    """The place of a prefix.

    Args:
        name: what people call it.
        digest: hex digest of all that decides its content.

    Raises:
        SolveError: if its path is longer than conda packages can bear.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:32] or "env"
    found = Entry(root() / "envs" / f"{slug}-{digest[:16]}")
    length = len(os.fsencode(found.prefix))
    if length > _LONGEST_PREFIX:
        raise SolveError(
            f"The prefix '{found.prefix}' has a path of {length} bytes, and conda packages bear "
            f"{_LONGEST_PREFIX}: set ENVRING_CACHE to a shorter directory."
        )
    return found


def entries() -> Iterator[Entry]:
    """All entries of the cache, by key."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted((root() / "envs").iterdir()):
            if path.is_dir():
                yield Entry(path)


def find(name: str) -> list[Entry]:
    """Entries with this key, or this name, or whose key begins like this."""
    every = list(entries())
    exact = [each for each in every if each.key == name or str(each.prefix) == name]
    named = [each for each in every if each.key.rpartition("-")[0] == name]
    return exact or named or [each for each in every if each.key.startswith(name)]


def write_whole(path: Path, value: Any) -> None:
    """Writes JSON so that others see all of it or nothing."""
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
    """Deletes a directory, with read-only ones in it; fine if there is none."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except PermissionError:
        for directory, _, _ in os.walk(path):
            os.chmod(directory, 0o700)
        shutil.rmtree(path)


def size(path: Path) -> int:
    """Bytes that deleting a tree would free; files that others link to count with their share."""
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(directory, name))
                total += found.st_blocks * 512 // max(1, found.st_nlink)
    return total
