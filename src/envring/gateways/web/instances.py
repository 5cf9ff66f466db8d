# SPDX-License-Identifier: MIT
"""Envs of callers that have no connection: they live until they are closed, or long unused."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from typing import Generic, TypeVar

from envring.errors import HostLost
from envring.gateways.guests import Guest
from envring.gateways.sessions import Sessions

CALL_SECONDS = 600.0  # of a call, where the runtime has no limits: its caller may be gone
_MOST_REASONS = 1024  # why envs ended that are remembered
_IDLE_SECONDS = 3600.0  # then an env makes room when another one is made


class Held:
    """An env that a caller holds; the host's sessions keep it, until it ends."""

    def __init__(self, guest: Guest) -> None:
        """Remembers the session."""
        self._guest = weakref.ref(guest)
        self._entry = guest.entry

    @property
    def guest(self) -> Guest:
        """The session.

        Raises:
            HostLost: it has ended.
        """
        found = self._guest()
        if found is None:
            raise HostLost((), "", self._entry.over or "it was closed")
        return found

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.why_over is not None

    @property
    def why_over(self) -> str | None:
        """Why it has ended, None while it goes on."""
        found = self._guest()
        return self._entry.over if found is None else found.over


T = TypeVar("T", bound=Held)


class Instances(Generic[T]):
    """What callers hold, by their keys' digests and names; threads may share it.

    Args:
        sessions: of the host.
    """

    def __init__(self, sessions: Sessions) -> None:
        """Begins without any."""
        self._sessions = sessions
        self._lock = threading.Lock()
        self._held: dict[tuple[bytes, str], T] = {}
        self._why: dict[tuple[bytes, str], str] = {}  # they ended, oldest first

    def add(self, owner: bytes, name: str, instance: T) -> None:
        """Keeps an instance; one of the same name is ended."""
        with self._lock:
            before = self._held.get((owner, name))
            self._held[owner, name] = instance
            self._why.pop((owner, name), None)
        if before is not None:
            self._end(before)

    def find(self, owner: bytes, name: str) -> T | None:
        """The instance of that name, if it goes on."""
        found = self._held.get((owner, name))
        if found is not None and found.is_over:
            with self._lock:
                if self._held.get((owner, name)) is found:
                    self._drop((owner, name))
            return None
        return found

    def why_ended(self, owner: bytes, name: str) -> str | None:
        """Why the instance of that name ended, if it was not its caller who closed it."""
        with self._lock:
            return self._why.get((owner, name))

    def _drop(self, key: tuple[bytes, str]) -> T:
        held = self._held.pop(key)
        self._why[key] = held.why_over or "it was idle"
        if len(self._why) > _MOST_REASONS:
            del self._why[next(iter(self._why))]
        return held

    def names(self, owner: bytes) -> dict[str, T]:
        """All of one owner, by name."""
        with self._lock:
            return {name: each for (of, name), each in self._held.items() if of == owner}

    def end(self, owner: bytes, name: str) -> bool:
        """Ends one; whether there was one."""
        with self._lock:
            found = self._held.pop((owner, name), None)
        if found is not None:
            self._end(found)
        return found is not None

    def forget(self) -> None:
        """Drops instances that have ended, and ends those that were left."""
        now = time.monotonic()
        with self._lock:
            left = [key for key, each in self._held.items() if _is_left(each, now)]
            gone = [self._drop(key) for key in left]
        for each in gone:
            self._end(each)

    def _end(self, held: Held) -> None:
        with contextlib.suppress(HostLost):
            guest = held.guest
            if guest.entry.busy:  # nobody waits for that call
                self._sessions.end(guest.entry)
            else:
                guest.close()


def _is_left(held: Held, now: float) -> bool:
    try:
        return held.is_over or now - held.guest.entry.since > _IDLE_SECONDS
    except HostLost:
        return True
