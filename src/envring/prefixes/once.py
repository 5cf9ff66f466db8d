# SPDX-License-Identifier: MIT
"""Building a prefix once, however many ask at the same time; what a builder needs for it."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from envring.errors import EnvringError, LauncherError, SolveError
from envring.prefixes import cache, lock, process
from envring.prefixes.cache import Entry, Ready
from envring.prefixes.progress import Progress, tail

_TIMEOUT = 7200.0  # seconds for a build, if $ENVRING_BUILD_TIMEOUT says nothing else


@dataclass(frozen=True)
class Site:
    """Where a prefix is being built; the lock is held.

    Attributes:
        entry: its place in the cache.
        source: path of the file that says what to build, for errors.
        lock: descriptor of the lock.
        deadline: time.monotonic() at which the build is given up.
        progress: shows what is going on.
    """

    entry: Entry
    source: str
    lock: int
    deadline: float
    progress: Progress

    def run(
        self, doing: str, advice: str, argv: Sequence[str], cwd: Path, environ: Mapping[str, str]
    ) -> None:
        """Runs a program to its end; its output goes to the log.

        Args:
            doing: what it is, for an error.
            advice: what to do if it fails.
            argv: the program and its arguments.
            cwd: its directory.
            environ: its whole environment.

        Raises:
            SolveError: if it fails.
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
            )
        except process.ProgramFailed as error:
            self.fail(doing, error.how, advice, error.tail)

    def fail(self, doing: str, how: str, advice: str, last: str) -> NoReturn:
        """Raises the error that tells of a failure.

        Raises:
            SolveError: always.
        """
        if "No space left on device" in last or "Disk quota exceeded" in last:
            advice = (
                f"The disk of '{cache.root()}' is full: free some of it, "
                "or set ENVRING_CACHE to a directory on another."
            )
        raise SolveError(
            f"The prefix of '{self.source}' could not be built: {doing} {how}. {advice}",
            str(self.entry.log),
            last,
        )


def build_once(
    entry: Entry, name: str, source: str, build: Callable[[Site], Ready], progress: Progress | None
) -> Ready:
    """A finished prefix. Of many who ask, one builds and the others wait for it.

    What is half built is never marked ready, and is taken away if we live to.

    Args:
        entry: its place in the cache.
        name: what people call it.
        source: path of the file that says what to build.
        build: builds it, and says what is to be known of it.
        progress: what to tell on stderr, None for the usual.

    Raises:
        SolveError: if it cannot be built.
        EnvringError: whatever else `build` raises.
    """
    progress = progress or Progress(name)
    deadline = time.monotonic() + _timeout()
    before = _failure(entry)
    announced = False

    def waiting(pid: int | None) -> None:
        nonlocal announced
        if not announced:
            announced = True
            who = "another process" if pid is None else f"process {pid}"
            progress.step(f"waiting for {who}, which builds it")
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
            "End that process, or allow more seconds in ENVRING_BUILD_TIMEOUT.",
            str(entry.log),
            tail(entry.log),
        ) from error
    except OSError as error:
        raise SolveError(
            f"The prefix of '{source}' cannot be built in the cache '{cache.root()}': "
            f"{error.strerror or error} ({error.filename}). "
            "Set ENVRING_CACHE to a directory that can be written."
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
    """Tells those who wait that trying again is of no use."""
    told = {"message": error.args[0], "log_path": error.log_path, "tail": error.tail}
    cache.write_whole(entry.failure, {**told, "once": time.time_ns()})


def _timeout() -> float:
    text = os.environ.get("ENVRING_BUILD_TIMEOUT", "")
    try:
        return float(text) if text else _TIMEOUT
    except ValueError:
        raise LauncherError(
            f"ENVRING_BUILD_TIMEOUT is {text!r}, which is no number of seconds."
        ) from None


def _failure(entry: Entry) -> dict[str, Any] | None:
    """How the last build failed; each failure is another one."""
    try:
        found = json.loads(entry.failure.read_bytes())
        return {key: found[key] for key in ("message", "log_path", "tail", "once")}
    except (OSError, ValueError, TypeError, KeyError):
        return None
