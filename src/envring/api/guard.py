# SPDX-License-Identifier: MIT
"""Who may call an env, and when: an open one, in its own process, one thread at a time."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from gymnasium.error import ClosedEnvironmentError

from envring.batch.batcher import Batcher
from envring.errors import ConcurrentCallError, EnvringError, format_env_ids
from envring.pool.reply import Reply

_guarded: weakref.WeakSet[Guarded] = weakref.WeakSet()


class Guarded:
    """What vector and single envs share.

    Attributes:
        closed: whether `close` was called.
    """

    closed: bool = False
    _batcher: Batcher | None = None
    _forked = False  # this is a forked copy: the workers answer only to the original
    _unclaimed = False  # a batch may be under way whose call ended before it (timeout, Ctrl-C)

    def _guard(self) -> None:
        """The constructor calls this before anything else."""
        self._owner: int | None = None  # the thread that is in a call
        _guarded.add(self)

    @property
    def _name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Refuses copies and pickles, with an error that says what to do instead."""
        raise TypeError(
            f"A {self._name} cannot be copied or pickled: it holds worker processes. Copy "
            "or send the env functions, and make another one of them where it is needed."
        )

    def _enter(self) -> Batcher:
        """Begins a call; at its end `_owner` must be None again.

        Not a lock: Ctrl-C may strike between any two lines, and a lock that it left behind would
        refuse the same thread for ever.

        Raises:
            ConcurrentCallError: another thread is in a call.
            ClosedEnvironmentError: after `close`.
            EnvringError: in a forked copy.
        """
        me = threading.get_ident()
        owner = self._owner
        if owner is not None and owner != me:
            raise ConcurrentCallError(
                f"Another thread is in a call of this {self._name} "
                f"({format_env_ids(range(getattr(self, 'num_envs', 1)))}). Let one thread use it, "
                "or guard it with a lock."
            )
        if self.closed or self._forked:
            return self._running()
        self._owner = me
        return self._batcher  # type: ignore[return-value]

    def _running(self) -> Batcher:
        batcher = self._batcher
        if self.closed or batcher is None:
            raise ClosedEnvironmentError(
                f"Trying to operate on `{self._name}`, after a call to `close()`."
            )
        if self._forked:
            raise EnvringError(
                f"This {self._name} was made in another process; its workers answer only there. "
                "Make another one in this process."
            )
        return batcher

    @contextlib.contextmanager
    def _entered(self) -> Iterator[Batcher]:
        """A call from `_enter` to its end; the step, which is frequent, does this by hand."""
        batcher = self._enter()
        try:
            yield batcher
        finally:
            self._owner = None

    def _settle(self, batcher: Batcher) -> None:
        """Waits for a batch whose call ended before it, and drops it."""
        if self._unclaimed:
            batcher.wait(None)
            batcher.discard()
            self._unclaimed = False

    def _begin(self, batcher: Batcher, start: Callable[[Batcher], None]) -> None:
        """Starts a batch, which is unclaimed until its caller says otherwise."""
        self._settle(batcher)
        self._unclaimed = True  # first: Ctrl-C may strike between the lines
        start(batcher)

    def _run(self, batcher: Batcher, start: Callable[[Batcher], None]) -> Reply | None:
        """A batch from its start to its reply."""
        self._begin(batcher, start)
        batcher.wait(None)
        self._unclaimed = False
        return batcher.collect()


def batcher_of(env: Guarded) -> Batcher | None:
    """What steps an env, for those who watch or end it from outside; None if it is closed."""
    return env._batcher


def take_batcher(env: Guarded) -> Batcher:
    """Takes it from an env, which is closed from now on: its new owner has to end it."""
    batcher, env._batcher = env._batcher, None
    env.closed = True
    assert batcher is not None
    return batcher


def _disown_after_fork() -> None:
    for guarded in list(_guarded):
        guarded._forked = True


os.register_at_fork(after_in_child=_disown_after_fork)
