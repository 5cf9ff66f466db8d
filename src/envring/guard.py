# SPDX-License-Identifier: MIT
"""Who may call a hosted env, and when: open, in this process, one thread at a time."""

from __future__ import annotations

import os
import threading
import weakref

from gymnasium.error import ClosedEnvironmentError

from envring.errors import ConcurrentCallError, EnvringError, format_env_ids
from envring.hosting import EnvHost

_guarded: weakref.WeakSet[Guarded] = weakref.WeakSet()


class Guarded:
    """What vector and single envs share.

    Attributes:
        closed: whether `close` was called.
    """

    closed: bool = False
    _host: EnvHost | None = None
    _foreign = False  # this is a forked copy: the workers answer only to the original
    _late = False  # a batch is under way whose results nobody wants any more

    def _guard(self) -> None:
        """To be called by the constructor."""
        self._lock = threading.Lock()
        _guarded.add(self)

    def _enter(self) -> EnvHost:
        """Begins a call; `_lock` is to be released at its end.

        Raises:
            ConcurrentCallError: another thread is in a call.
            ClosedEnvironmentError: after `close`.
            EnvringError: in a forked copy.
        """
        if not self._lock.acquire(False):
            raise ConcurrentCallError(
                f"Another thread is in a call of this {type(self).__name__} "
                f"({format_env_ids(range(getattr(self, 'num_envs', 1)))}). Let one thread use it, "
                "or guard it with a lock."
            )
        if self.closed or self._foreign:
            self._lock.release()
            return self._running()
        return self._host  # type: ignore[return-value]

    def _running(self) -> EnvHost:
        name = type(self).__name__
        if self.closed:
            raise ClosedEnvironmentError(
                f"Trying to operate on `{name}`, after a call to `close()`."
            )
        if self._foreign:
            raise EnvringError(
                f"This {name} was made in another process; its workers answer only there. Make "
                "one of your own in this process."
            )
        assert self._host is not None
        return self._host

    def _settle(self, host: EnvHost) -> None:
        """Waits for a batch that came too late for its own call, and drops it."""
        if self._late:
            host.wait(None)
            host.discard()
            self._late = False


def _disown_after_fork() -> None:
    for guarded in list(_guarded):
        guarded._foreign = True


os.register_at_fork(after_in_child=_disown_after_fork)
