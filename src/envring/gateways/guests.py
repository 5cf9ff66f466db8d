# SPDX-License-Identifier: MIT
"""Sessions of callers that speak another project's wire: an env of the host's, driven by calls.

Such a session ends with its connection: nobody can come back for it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from envring.api.guard import batcher_of, take_batcher
from envring.api.single import RingEnv
from envring.api.vector import RingVectorEnv
from envring.batch.batcher import Batcher
from envring.errors import HostLost, HostRefused, WorkerDied, WorkerTimeout
from envring.gateways.latency import Latency
from envring.gateways.requests import MOST_ENVS, number_of_workers
from envring.gateways.runtimes import Runtime
from envring.gateways.sessions import Entry, died
from envring.launchers.sources import EnvSource
from envring.workers.starting import looking

if TYPE_CHECKING:
    from envring.gateways.host import Host

log = logging.getLogger("envring.serve")

_END_SECONDS = 5.0  # for a call whose worker was killed to end
_CLOSE_SECONDS = 5.0  # for an env to close, while its caller or the host waits

PROCESS_ENDED = (WorkerDied, WorkerTimeout)
"""Errors after which a session is over."""

T = TypeVar("T")


class Guests:
    """Opens sessions of a host for callers that speak another wire; threads may share it."""

    def __init__(self, host: Host) -> None:
        """Begins without any."""
        self.host = host

    def check_key(self, key: object) -> None:
        """Refuses a key that is missing or wrong.

        Raises:
            HostRefused: it is.
        """
        if not self.host.options.admits(key):
            raise self._refused(HostRefused("The key is missing or wrong.", "key"))

    def open(
        self,
        peer: str,
        key: object,
        env: str | None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        wire: str,
        runtime: str | None = None,
        num_envs: int | None = None,
        autoreset_mode: str = "NextStep",
        env_fn: Callable[[], Any] | None = None,
        call_seconds: float | None = None,
        left: Callable[[], bool] = lambda: False,
    ) -> Guest:
        """Builds an env in a process of its own, and takes its slots. Blocks until it is built.

        Args:
            peer: who asks, for the log.
            key: what the caller has shown.
            env: the env to build; None for the first of the runtime.
            kwargs: its keyword arguments, plain data.
            wire: names the wire, for the log and the metrics.
            runtime: name of the runtime, or None for the first that serves the env.
            num_envs: None for a single env (`RingEnv`), a number for a `RingVectorEnv`.
            autoreset_mode: of the vector env.
            env_fn: builds the env, instead of its name: the host's own function, for a single env.
            call_seconds: the most seconds of a call, for callers whose end nobody notices. The
                limits of the runtime take its place.
            left: whether the caller went away: then building ends.

        Raises:
            HostRefused: the reason is "key", "runtime", "env", "full", "closing" or "message".
            LaunchError: the env could not be built.
            WorkerDied: its process ended meanwhile.
            Exception: whatever the env's constructor raised.
        """
        self.check_key(key)
        try:
            if num_envs is not None and not (type(num_envs) is int and 0 < num_envs <= MOST_ENVS):
                raise HostRefused(f"num_envs is a number from 1 to {MOST_ENVS}.", "message")
            found = self.host.runtimes.find(runtime, [env])
            source = env_fn or found.source({"env": env, "kwargs": dict(kwargs or {})})
            client_id = f"{wire}-{uuid.uuid4().hex}"
            sessions = self.host.sessions
            owner = self.host.options.digest(key)
            entry = sessions.reserve(
                client_id, owner, b"", found, num_envs or 1, None, is_guest=True
            )
        except HostRefused as error:
            raise self._refused(error) from None
        latency = self.host.latencies.setdefault(wire, Latency())

        def look() -> None:
            if sessions.over or left():
                why = "the host was ended" if sessions.over else "its caller went away"
                raise HostLost((), "", why)

        try:
            with looking(look):
                env_now = _build(found, source, num_envs, autoreset_mode, call_seconds)
            guest = Guest(self.host, entry, env_now, latency)
        except BaseException:
            sessions.end(entry)
            raise
        sessions.built(entry, guest)
        log.info("%s opened session %s: %d envs of %s", peer, client_id, num_envs or 1, found.name)
        return guest

    def _refused(self, error: HostRefused) -> HostRefused:
        self.host.sessions.counts["refused"] += 1
        return error


def _build(
    runtime: Runtime,
    source: EnvSource | Callable[[], Any],
    num_envs: int | None,
    autoreset_mode: str,
    call_seconds: float | None,
) -> RingEnv | RingVectorEnv[Any, Any]:
    limits: dict[str, Any] = {
        "step_timeout": runtime.step_timeout or call_seconds,
        "reset_timeout": runtime.reset_timeout or call_seconds,
        "call_timeout": call_seconds,
    }
    if num_envs is None:
        # never by a fork: this process has threads
        context = None if isinstance(source, EnvSource) else "forkserver"
        return RingEnv(source, context=context, **limits)
    return RingVectorEnv(
        [source] * num_envs,
        num_workers=min(num_envs, number_of_workers(runtime, {})),
        autoreset_mode=autoreset_mode,
        **limits,
    )


class Guest:
    """A session of one env or vector env. Its calls wait for each other.

    Attributes:
        env: the `RingEnv` or `RingVectorEnv`.
        entry: of the host's sessions.
        num_envs: number of envs, 1 for a single one.
        steps: env steps so far.
    """

    def __init__(
        self, host: Host, entry: Entry, env: RingEnv | RingVectorEnv[Any, Any], latency: Latency
    ) -> None:
        """Takes the env over."""
        self.env = env
        self.entry = entry
        self.num_envs = entry.num_envs
        self.steps = 0
        self._sessions = host.sessions
        self._latency = latency
        self._lock = threading.Lock()  # one call at a time
        self._batcher: Batcher | None = batcher_of(env)
        assert self._batcher is not None
        self._batcher.quiet = True  # the caller is told what its env raised

    @property
    def over(self) -> str | None:
        """Why the session was ended, None while it goes on."""
        return "the host was ended" if self._sessions.over else self.entry.over

    def reset(self, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """Resets the env; see `gymnasium.Env.reset`.

        Raises:
            HostLost: the session was ended; `why` says for what.
            WorkerDied: the env's process ended; the session is over.
            WorkerTimeout: it was killed, because the call took too long; the session is over.
            Exception: whatever the env raised.
        """
        return self._run(lambda: self.env.reset(seed=seed, options=options))

    def step(self, action: Any) -> Any:
        """Steps the env; see `gymnasium.Env.step`, and `reset` for what it raises."""
        results = self._run(lambda: self.env.step(action))
        self.steps += self.num_envs
        return results

    def render(self) -> Any:
        """What the env renders; see `reset` for what it raises."""
        return self._run(self.env.render)

    def _run(self, call: Callable[[], T]) -> T:
        entry, clock = self.entry, time.monotonic
        try:
            with self._lock:
                entry.busy = True
                began = clock()
                try:
                    self._check()
                    results = call()
                    self._latency.add(clock() - began)
                    return results
                finally:
                    entry.since = clock()
                    entry.busy = False
        except PROCESS_ENDED as error:
            if not isinstance(error, HostLost):
                self._check()  # the host may have killed it
                self._sessions.counts["deaths"] += 1
                self.entry.over = (
                    died(error.exitcode, error.signal)
                    if isinstance(error, WorkerDied)
                    else "a call took longer than it may"
                )
                self._sessions.end(self.entry)
            raise

    def _check(self) -> None:
        if self.over is not None:
            raise HostLost((), "", self.over)

    def close(self) -> None:
        """Ends the session: its env is closed, its slots are free. A second call does nothing."""
        self._sessions.end(self.entry, lambda _: self._close())

    def _close(self) -> None:
        with self._lock:
            self._taken().close(_CLOSE_SECONDS)

    def _taken(self) -> Batcher:
        """Takes the batcher from the env and from here: its memory goes with its last user."""
        self._batcher = None
        return take_batcher(self.env)

    def hurry(self) -> None:
        """Nothing: `close` takes some seconds at most."""

    def why_dead(self) -> str | None:
        """Why the session is over if a process has ended: its caller may never ask again."""
        batcher = self._batcher
        if batcher is None or not self._lock.acquire(timeout=0.0):
            return None
        try:
            codes = [process.exitcode for process in batcher.pool.processes]
        finally:
            self._lock.release()
        for code in codes:
            if code is not None:
                return died(code, None) if code >= 0 else died(None, -code)
        return None

    def abandon(self) -> None:
        """Ends the env's processes, within about a second; a call under way fails."""
        if not self._lock.acquire(timeout=0.0):
            batcher = self._batcher
            for process in () if batcher is None else filter(None, batcher.pool.processes):
                process.kill()
            if not self._lock.acquire(timeout=_END_SECONDS):
                return  # with the env, by the finalizer of its pool
        try:
            self._taken().abandon()
        finally:
            self._lock.release()
