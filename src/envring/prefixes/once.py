# SPDX-License-Identifier: MIT
"""Building a prefix once for all concurrent callers, and what a builder needs for it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from envring.errors import EnvringError, LauncherError, SolveError
from envring.prefixes import cache, lock, process
from envring.prefixes.cache import Entry, Ready
from envring.prefixes.progress import Progress, tail

_SCARCE = 1 << 20  # bytes that are free on a full disk at most
# as libc, Rust, conda and pip say it
_FULL = re.compile(
    rb"No space left on device|Disk quota exceeded|NoSpaceLeftError|(Errno|os error) (28|122)\b"
)
_TIMEOUT = 7200.0  # seconds for a build, unless $ENVRING_BUILD_TIMEOUT is set


@dataclass(frozen=True)
class Site:
    """Where a prefix is being built; the lock is held.

    Attributes:
        entry: its place in the cache.
        source: path of the file that asks for the prefix, for errors.
        lock: descriptor of the lock.
        deadline: time.monotonic() at which the build is given up.
        progress: shows the progress.
    """

    entry: Entry
    source: str
    lock: int
    deadline: float
    progress: Progress

    def run(
        self,
        doing: str,
        advice: str,
        argv: Sequence[str],
        cwd: Path,
        environ: Mapping[str, str],
        terminal: bool = False,
    ) -> None:
        """Runs a program to its end; its output goes to the log.

        Args:
            doing: what it does, for an error.
            advice: what the user can do if it fails, for an error.
            argv: the program and its arguments.
            cwd: its working directory.
            environ: all its environment variables.
            terminal: whether it may ask the user.

        Raises:
            SolveError: it fails.
        """
        try:
            process.run(
                argv,
                cwd=cwd,
                environ=environ,
                log=self.entry.log,
                lock=self.lock,
                deadline=self.deadline,
                progress=self.progress,
                terminal=terminal,
            )
        except process.ProgramFailed as error:
            self.fail(doing, error.how, advice, error.tail)

    def fail(self, doing: str, how: str, advice: str, last: str) -> NoReturn:
        """Raises the error of a failed build.

        Args:
            doing: which step failed.
            how: how it failed: "failed with exit code 1".
            advice: what the user can do.
            last: the last lines of its output.

        Raises:
            SolveError: always.
        """
        advice = _full_disk(self.entry.log) or advice
        raise SolveError(
            f"The prefix of '{self.source}' could not be built: {doing} {how}. {advice}",
            str(self.entry.log),
            last,
        )


def build_once(
    entry: Entry, name: str, source: str, build: Callable[[Site], Ready], progress: Progress | None
) -> Ready:
    """Returns a finished prefix, and builds it if necessary. One caller builds, the others wait.

    A prefix that is not complete is never marked ready; it is removed unless the builder is killed.

    Args:
        entry: its place in the cache.
        name: short name to show.
        source: path of the file that asks for it.
        build: builds it and returns what is known of it.
        progress: where progress is shown; None: on stderr.

    Raises:
        SolveError: it cannot be built.
        EnvringError: any other error of `build`.
    """
    progress = progress or Progress(name)
    deadline = time.monotonic() + _timeout()
    before = _failure(entry)
    announced = False

    def waiting(pid: int | None) -> None:
        nonlocal announced
        if not announced:
            announced = True
            builder = "another process" if pid is None else f"process {pid}"
            progress.step(f"waiting for {builder}, which builds it")
        progress.tick(tail(entry.log, 1))

    try:
        with lock.hold(entry.lock, deadline, waiting) as held:
            ready = entry.ready()
            failure = _failure(entry)
            if ready is None and announced and failure is not None and failure != before:
                raise SolveError(failure["message"], failure["log_path"], failure["tail"])
            if ready is None:
                ready = _build(Site(entry, source, held, deadline, progress), build)
            elif announced:
                progress.end("ready")
    except TimeoutError as error:
        raise SolveError(
            f"The prefix of '{source}' is not ready after {_timeout():.0f} s: {error}. "
            "End that process, or set ENVRING_BUILD_TIMEOUT to more seconds.",
            str(entry.log),
            tail(entry.log),
        ) from error
    except OSError as error:
        advice = "Set ENVRING_CACHE to a writable directory."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = _full_disk(entry.log, sure=True)
        raise SolveError(
            f"The prefix of '{source}' cannot be built in the cache '{cache.root()}': "
            f"{error.strerror or error} ({error.filename}). {advice}"
        ) from error
    finally:
        progress.clear()
    return ready


def _build(site: Site, build: Callable[[Site], Ready]) -> Ready:
    begun = time.monotonic()
    entry = site.entry
    try:
        entry.clear()
        entry.log.write_text(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {site.source}\n")
        found = build(site)
        ready = dataclasses.replace(found, seconds=round(time.monotonic() - begun, 1))
        entry.publish(ready)
    except EnvringError as error:
        site.progress.end("failed")
        entry.clear()
        if isinstance(error, SolveError):
            _remember(entry, error)
        raise
    except BaseException:
        entry.clear()
        raise
    site.progress.end("ready")
    return ready


def _remember(entry: Entry, error: SolveError) -> None:
    """Stores the failure for the callers that wait, so that they do not build again."""
    failure = {"message": error.args[0], "log_path": error.log_path, "tail": error.tail}
    cache.write_whole(entry.failure, {**failure, "once": time.time_ns()})


def _full_disk(log: Path, sure: bool = False) -> str:
    """Returns advice if a disk is full, else "".

    Not only the log tells: it lies on that disk, and a solver may say something else.

    Args:
        log: of the build that failed.
        sure: whether that is known already.
    """
    places = {
        str(cache.root()): "set ENVRING_CACHE",
        tempfile.gettempdir(): "set TMPDIR",
    }
    full = [place for place in places if _free(place) < _SCARCE]
    with contextlib.suppress(OSError):
        sure = sure or bool(_FULL.search(log.read_bytes()))
    if not full and not sure:
        return ""
    place = (full or list(places))[0]
    return (
        f"The disk of '{place}' is full: free some space, "
        f"or {places[place]} to a directory on another disk."
    )


def _free(place: str) -> float:
    try:
        found = os.statvfs(place)
        return found.f_bavail * found.f_frsize
    except OSError:
        return float("inf")


def _timeout() -> float:
    text = os.environ.get("ENVRING_BUILD_TIMEOUT", "")
    try:
        return float(text) if text else _TIMEOUT
    except ValueError:
        raise LauncherError(
            f"ENVRING_BUILD_TIMEOUT is {text!r}, which is not a number of seconds."
        ) from None


def _failure(entry: Entry) -> dict[str, Any] | None:
    """Returns the error of the last build, or None; no two failures are equal."""
    try:
        found = json.loads(entry.failure.read_bytes())
        return {key: found[key] for key in ("message", "log_path", "tail", "once")}
    except (OSError, ValueError, TypeError, KeyError):
        return None
