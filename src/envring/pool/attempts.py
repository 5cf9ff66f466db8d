# SPDX-License-Identifier: MIT
"""Connecting again to a host, in a thread of its own: nobody has to wait for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from envring.errors import EnvringError, HostRefused, LaunchError
from envring.pool.conversation import Conversation
from envring.pool.dialling import dial
from envring.transport import frames
from envring.transport.addresses import Address
from envring.transport.polling import readable

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between two rounds; it doubles each time
_DIAL_SECONDS = 2.0  # for one address


@dataclass
class Wanted:
    """What is asked of a host.

    Attributes:
        addresses: hosts, of which the first that gives it is taken.
        env_ids: of the envs.
        place: as for Conversation.
        opening: body of the OPEN, by address and heartbeat.
        attaching: body of the ATTACH.
        check: raises EnvringError if envs of that description are not wanted.
        seconds: that the envs may take to be built, or None.
    """

    addresses: Sequence[Address]
    env_ids: range
    place: Callable[[Any], Sequence[Any]]
    opening: Callable[[Address, float], bytes]
    attaching: bytes
    check: Callable[[Any], None]
    seconds: float | None


class Attempt:
    """Asks hosts, again and again, until one has the envs or time is up.

    Attributes:
        conversation: with the host that has them.
        address: of it.
        error: why there is none.
    """

    def __init__(self, wanted: Wanted, pause: float, until: float) -> None:
        """Begins, after `pause` seconds; gives up at `until` of time.monotonic()."""
        self.conversation: Conversation | None = None
        self.address: Address | None = None
        self.error: EnvringError | None = None
        self._wanted = wanted
        self._pause = pause
        self._until = until
        self._cancelled = threading.Event()
        self._done = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="envring-reconnect", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """A descriptor that can be read when it is over."""
        return self._done

    def wait(self, deadline: float | None) -> bool:
        """Waits until it is over; False when time.monotonic() was at the deadline before."""
        while True:
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if readable([self._done], min(max(left, 0.0), 1.0)):
                self._thread.join()
                return True
            if left <= 0:
                return False

    def close(self) -> None:
        """Ends it. The conversation is the caller's if it was taken out."""
        self._cancelled.set()
        self._thread.join()
        os.close(self._done)
        conversation, self.conversation = self.conversation, None
        if conversation is not None:
            conversation.link.close()

    def _run(self) -> None:
        try:
            pause = self._pause
            while not self._cancelled.wait(pause):
                if self._ask() or time.monotonic() >= self._until:
                    return
                pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
        except Exception as error:
            self.error = LaunchError(f"no host could be asked: {error}")
            self.error.__cause__ = error
        finally:
            os.eventfd_write(self._done, 1)

    def _ask(self) -> bool:
        """Asks each host once; whether one of them has the envs, or it makes no sense to go on."""
        for address in self._wanted.addresses:
            if self._cancelled.is_set():
                return True
            try:
                self._open(address)
            except EnvringError as error:
                self.error = error
            else:
                self.error = None
                return True
        return False

    def _open(self, address: Address) -> None:
        wanted = self._wanted
        (dialled,) = dial([address], _DIAL_SECONDS)
        try:
            if frames.LOST not in dialled.welcome["features"]:
                raise HostRefused(
                    f"{address} has an older envring, whose envs do not take the place of others. "
                    "Install the same release there.",
                    "version",
                )
            conversation = Conversation(dialled, wanted.env_ids, wanted.place)
            deadline = None if wanted.seconds is None else time.monotonic() + wanted.seconds
            conversation.send(frames.OPEN, [wanted.opening(address, dialled.heartbeat)])
            opened = self._answer(conversation, frames.OPENED, deadline)
            wanted.check(opened)
            conversation.send(frames.ATTACH, [wanted.attaching])
            self._answer(conversation, frames.ATTACHED, deadline)
        except BaseException:
            dialled.link.close()
            raise
        self.conversation, self.address = conversation, address

    def _answer(self, conversation: Conversation, kind: int, deadline: float | None) -> Any:
        """What the host says. Envs may take long to build, and `close` does not wait so long."""
        while True:
            if self._cancelled.is_set():
                raise LaunchError("it is closed meanwhile")
            soon = time.monotonic() + 0.2
            until = soon if deadline is None else min(soon, deadline)
            try:
                return conversation.answer(kind, until, 0.2)
            except TimeoutError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
