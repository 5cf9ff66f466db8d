# SPDX-License-Identifier: MIT
"""The end of a pool whose envs run on a host: they are closed, or the host is lost."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

from envring.core import _core
from envring.errors import EnvringError
from envring.pool import ending
from envring.pool.conversation import Conversation
from envring.transport.addresses import Address
from envring.transport.frames import Link

_CLOSED_SECONDS = 3.0  # for a host to end workers whose envs take too long, and to say so


class RemoteEnd:
    """What a RemotePool does when it ends.

    Attributes:
        address: of the host.
    """

    address: Address
    _host: Conversation
    _link: Link | None  # None when it is closed
    _path: _core.RemotePath | None
    _dead: EnvringError | None = None  # what every later call raises
    _closing = 0.0  # time.monotonic() at which an answer to CLOSE is given up, if it was sent
    _release: Callable[[], None]  # ends what was started for the connection
    _who: str  # the envs, for messages

    def _end(self, error: EnvringError) -> EnvringError:
        """Makes every later call raise the error."""
        if self._dead is None:
            self._dead = error
        if self._path is not None:
            self._path.block()
        if self._link is not None:
            self._link.close()
        return error

    def unreadable(self, error: Exception) -> EnvringError:
        """The end, because the host sent nonsense."""
        return self._end(
            EnvringError(
                f"What {self.address} sent of {self._who} cannot be read ({error}). Close this "
                "vector env and make a new one."
            )
        )

    def unexpected(self) -> EnvringError:
        """The end, because the host sent what was not asked for."""
        return self._end(self._host.unexpected())

    def raise_if_dead(self) -> None:
        """Raises what ended this pool, if something did."""
        if self._dead is not None:
            raise self._dead

    def close(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the envs and the session; a host that is gone is not an error here.

        Warns as a WorkerPool does, and of a host that does not answer.
        """
        self.ask_to_close(timeout, terminate)
        link, self._link = self._link, None
        if link is None:
            return
        try:
            closing = self._host.closed(self._closing) if self._dead is None else None
        except TimeoutError:
            warnings.warn(
                f"{self.address} did not say in time that {self._who} were closed. They have ended "
                "by now, or will end soon, if that host is well.",
                RuntimeWarning,
                stacklevel=3,
            )
        else:
            if closing is not None:
                closing.warn(f" on {self.address}", 4)
        finally:
            link.close()
            self._release()

    def ask_to_close(self, timeout: float | None, terminate: bool) -> None:
        """Begins to `close`: several hosts close their envs at the same time."""
        if self._link is None or self._closing:
            return
        seconds = ending.CLOSE_SECONDS if timeout is None else timeout
        seconds = 0.0 if terminate else max(seconds, 0.0)
        self._closing = time.monotonic() + seconds + _CLOSED_SECONDS
        if self._dead is None:
            self._host.ask_to_close(seconds, terminate)

    def abandon(self) -> None:
        """Ends the session of a pool that nobody closed."""
        link, self._link = self._link, None
        if link is None:
            return
        try:
            if self._dead is None:
                self._host.let_go()
        finally:
            link.close()
            self._release()

    def __del__(self) -> None:
        """Tells the host that nobody needs the session any longer."""
        if getattr(self, "_link", None) is not None:
            self.abandon()
