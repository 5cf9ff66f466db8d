# SPDX-License-Identifier: MIT
"""Who may call a hosted env, and when: open, in this process, one thread at a time."""

from __future__ import annotations

import os
import threading
import weakref

from gymnasium.error import ClosedEnvironmentError

from envring.batch.host import EnvHost
from envring.errors import ConcurrentCallError, EnvringError, format_env_ids

_guarded: weakref.WeakSet[Guarded] = weakref.WeakSet()


class Guarded:
    """What vector and single envs share.

    Attributes:
        closed: whether `close` was called.
    """

    closed: bool = False
    _host: EnvHost | None = None
    _foreign = False  # this is a forked copy: the workers answer only to the original
    _late = False  # a batch may be under way whose results nobody wants any more

    def _guard(self) -> None:
        """To be called by the constructor."""
        self._owner: int | None = None  # the thread that is in a call
        _guarded.add(self)

    def _enter(self) -> EnvHost:
        """Begins a call; `_owner` is to be None again at its end.

        Not a lock: Ctrl-C may strike between any two lines, and a lock it left behind would refuse
        the same thread for ever.

        Raises:
            ConcurrentCallError: another thread is in a call.
            ClosedEnvironmentError: after `close`.
            EnvringError: in a forked copy.
        """
        me = threading.get_ident()
        owner = self._owner
        if owner is not None and owner != me:
            raise ConcurrentCallError(
                f"Another thread is in a call of this {type(self).__name__} "
                f"({format_env_ids(range(getattr(self, 'num_envs', 1)))}). Let one thread use it, "
                "or guard it with a lock."
            )
        if self.closed or self._foreign:
            return self._running()
        self._owner = me
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
