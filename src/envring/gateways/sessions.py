# SPDX-License-Identifier: MIT
"""The sessions of a host: who holds which, how many slots are taken, and when one is over."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from envring.errors import HostRefused, how_ended
from envring.gateways.options import HostOptions
from envring.gateways.runtimes import Runtime
from envring.transport.frames import Link

log = logging.getLogger("envring.serve")


def died(exitcode: int | None, signal: int | None) -> str:
    """Why a session is over one of whose processes has ended."""
    return f"its process {how_ended(exitcode, signal)}"


class Envs(Protocol):
    """The envs of a session.

    Attributes:
        steps: env steps so far.
    """

    steps: int

    def abandon(self) -> None:
        """Ends their processes, within about a second."""

    def hurry(self) -> None:
        """Has a `close` that is under way end within some seconds, whatever the envs do."""

    def why_dead(self) -> str | None:
        """Why they are over if a process of theirs has ended; None if their caller notices it."""


@dataclass(eq=False)
class Entry:
    """A session and who holds it.

    Attributes:
        client_id: names it.
        owner: of the key that was shown, a digest.
        asked: what its caller asked for, as bytes: who comes back must ask for the same.
        runtime: what it runs.
        num_envs: slots that it takes.
        session: its envs; None while they are built.
        link: of the caller; None while nobody holds it.
        since: time.monotonic() when it was let go, or last used.
        busy: whether a batch is under way.
        over: why it is to be ended, or None; nobody may come back for it.
        ended: set when it has ended.
        is_guest: whether its caller speaks another wire: it has no link, and nobody comes back.
    """

    client_id: str
    owner: bytes
    asked: bytes
    runtime: Runtime
    num_envs: int
    session: Envs | None = None
    link: Link | None = None
    since: float = field(default_factory=time.monotonic)
    busy: bool = False
    over: str | None = None
    ending: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    is_guest: bool = False


class Sessions:
    """All sessions of a host.

    Attributes:
        closing: whether there are to be no new ones.
        over: whether those that are there are to end.
        counts: what happened so far, by name, for metrics.
    """

    def __init__(self, options: HostOptions, slots: int | None) -> None:
        """Begins without any. `slots`: of the whole host, or None."""
        self.options = options
        self.slots = slots
        self.closing = self.over = False
        self.counts = {"opened": 0, "resumed": 0, "deaths": 0, "expired": 0, "refused": 0}
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._past_steps = 0

    # -- what there is ----------------------------------------------------------------------

    def used(self, runtime: Runtime | None = None) -> int:
        """Slots that are taken, of all runtimes or of one."""
        with self._lock:
            return self._used(runtime)

    def _used(self, runtime: Runtime | None) -> int:
        return sum(
            entry.num_envs
            for entry in self._entries.values()
            if runtime is None or entry.runtime is runtime
        )

    def __len__(self) -> int:
        """Returns the number of sessions."""
        return len(self._entries)

    @property
    def steps(self) -> int:
        """Env steps so far, of all sessions that ever were."""
        with self._lock:
            living = [entry.session for entry in self._entries.values()]
            return self._past_steps + sum(each.steps for each in living if each is not None)

    # -- from the beginning to the end --------------------------------------------------------

    def claim(self, client_id: str, owner: bytes, asked: bytes, link: Link) -> Entry | None:
        """The session of that name for a caller that comes back; None if there is none.

        Raises:
            HostRefused: another connection holds it, or it is another caller's or has other envs.
        """
        with self._lock:
            entry = self._entries.get(client_id)
            if entry is None:
                return None
            held = entry.is_guest or (entry.link is not None and not entry.link.has_hung_up())
            theirs = not hmac.compare_digest(entry.owner, owner)
            if entry.session is None or entry.over is not None or entry.busy or held or theirs:
                raise _in_use(client_id)
            if entry.asked != asked:
                raise HostRefused(
                    f"The session {client_id!r:.60} has other envs than it is asked for, "
                    f"{entry.num_envs} of them.",
                    "busy",
                )
            entry.link = link
            self.counts["resumed"] += 1
            return entry

    def reserve(
        self,
        client_id: str,
        owner: bytes,
        asked: bytes,
        runtime: Runtime,
        num_envs: int,
        link: Link | None,
        is_guest: bool = False,
    ) -> Entry:
        """Takes the slots of a session that is about to be built.

        Raises:
            HostRefused: there are not enough, or the host is closing, or somebody else was first.
        """
        with self._lock:
            if client_id in self._entries:
                raise _in_use(client_id)
            self._check_room(runtime, num_envs)
            entry = Entry(client_id, owner, asked, runtime, num_envs, link=link, is_guest=is_guest)
            self._entries[client_id] = entry
            return entry

    def _check_room(self, runtime: Runtime, num_envs: int) -> None:
        options = self.options
        if self.closing:
            raise HostRefused("This host is about to end and takes no new sessions.", "closing")
        if len(self._entries) >= options.max_sessions:
            raise HostRefused(
                f"All {options.max_sessions} sessions of this host are taken.", "full"
            )
        for what, of, limit in (
            ("this host", None, self.slots),
            (f"the runtime {runtime.name!r}", runtime, runtime.slots),
        ):
            used = self._used(of)
            if limit is not None and used + num_envs > limit:
                raise HostRefused(
                    f"{num_envs} envs were asked for, but {used} of the {limit} slots of {what} "
                    f"are used: {limit - used} are free.",
                    "full",
                )

    def built(self, entry: Entry, session: Envs) -> None:
        """The envs of a session are there."""
        with self._lock:
            entry.session, entry.since = session, time.monotonic()
            self.counts["opened"] += 1

    def let_go(self, entry: Entry, link: Link) -> None:
        """The caller was cut off: the session waits for it, unless another one holds it already."""
        with self._lock:
            if entry.link is link:
                entry.link, entry.since = None, time.monotonic()

    def end(self, entry: Entry, close: Callable[[Any], Any] | None = None) -> None:
        """Ends a session, whose name and slots are free afterwards. Others wait who end it, too."""
        with self._lock:
            first, entry.ending = not entry.ending, True
            entry.over = entry.over or "it was closed"
        if not first:
            entry.ended.wait()
            return
        try:
            if entry.session is not None:
                (close or type(entry.session).abandon)(entry.session)
        finally:
            with self._lock:
                if self._entries.get(entry.client_id) is entry:
                    del self._entries[entry.client_id]
                    if entry.session is not None:
                        self._past_steps += entry.session.steps
                if entry.is_guest:
                    entry.session = None  # its memory goes, why it is over stays
            entry.ended.set()

    def hurry(self) -> None:
        """Nobody has time any longer for envs that take long to close."""
        for entry in self.all():
            session = entry.session
            if entry.ending and session is not None:
                session.hurry()

    def expire(self, now: float) -> None:
        """Ends sessions whose time is over."""
        over: list[Entry] = []
        with self._lock:
            for entry in self._entries.values():
                if entry.over is None and not entry.busy:
                    counted, entry.over = self._why_over(entry, now)
                    if entry.over is not None:
                        over.append(entry)
                        self.counts[counted] += 1
        for entry in over:
            log.info("session %s ended: %s", entry.client_id, entry.over)
            if entry.link is None:  # else its connection ends it, and tells the caller
                # not here: a worker may take its time, and others wait for signs of life
                threading.Thread(
                    target=self.end, args=(entry,), name="envring-host", daemon=True
                ).start()

    def _why_over(self, entry: Entry, now: float) -> tuple[str, str | None]:
        """What is to be counted, and why the session is over, or None."""
        options, idle = self.options, now - entry.since
        if entry.session is None:
            return "", None
        if entry.link is None and not entry.is_guest:
            over = idle >= (0.0 if self.closing else options.grace)
            return "expired", "nobody came back for it" if over else None
        why = entry.session.why_dead()
        if why is not None:
            return "deaths", why
        if not entry.session.steps and _is_over(idle, options.first_step_timeout):
            return "expired", "it was never stepped"
        return "expired", "it was idle" if _is_over(idle, options.idle_timeout) else None

    def all(self) -> list[Entry]:
        """The sessions of now."""
        with self._lock:
            return list(self._entries.values())


def _in_use(client_id: str) -> HostRefused:
    return HostRefused(f"The session {client_id!r:.60} is in use by another connection.", "busy")


def _is_over(seconds: float, limit: float | None) -> bool:
    return limit is not None and seconds >= limit
