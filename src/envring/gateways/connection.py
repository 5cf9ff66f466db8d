# SPDX-License-Identifier: MIT
"""One connection of a host: a thread that reads requests and answers them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from envring._version import __version__
from envring.core import _core
from envring.errors import (
    EnvringError,
    HostLost,
    HostRefused,
    WireError,
    WorkerDied,
)
from envring.gateways.inbox import CallerCloses, Inbox
from envring.gateways.requests import MOST_ENVS
from envring.gateways.sending import serve
from envring.gateways.session import Session
from envring.gateways.sessions import Entry
from envring.pool import remote_closing, remote_errors
from envring.pool.ending import Closing
from envring.transport import codec, frames, packing
from envring.transport.frames import Frame, Link, LinkClosed

if TYPE_CHECKING:
    from envring.gateways.host import Host

log = logging.getLogger("envring.serve")

_SEND_SECONDS = 30.0  # for a caller to read its answer
_OPEN_SECONDS = 300.0  # for a caller to ask for envs: it may wait for other hosts meanwhile
_LOOK_SECONDS = 0.5  # between two looks at what the short way has done, and whether to go on
_OTHER, _STARTED = 1, 2  # what HostPath.serve returns
_MAX_OPEN = 1 << 24  # bytes of a frame before there is a session


class Connection:
    """A caller's connection, from its first byte to its last.

    Attributes:
        link: the connection.
        beat: seconds between two signs of life while a request is under way; 0 for none.
        busy_since: time.monotonic() when the request under way or the last sign of life began, or
            None.
        number: of the batch under way.
        is_welcome: whether the caller has shown its key.
    """

    def __init__(self, host: Host, link: Link) -> None:
        """Takes the link over."""
        self.host = host
        self.link = link
        self.beat = 0.0
        self._living = threading.Lock()
        self.busy_since: float | None = None
        self.number = 0
        self.is_welcome = False
        self._was_dialled = False
        self._entry: Entry | None = None
        self._path: _core.HostPath | None = None
        self._has_looked = False  # for it
        self._batches = self._resets = 0  # of the short way that are booked
        self._early = False  # whether a request came before the last one was answered
        self._inbox = Inbox(link)

    def run(self, greeted: bool = False) -> None:
        """Serves until the caller is gone, or the session is over.

        Args:
            greeted: whether both ends know each other's versions.
        """
        link = self.link
        try:
            deadline = time.monotonic() + self.host.options.handshake_timeout
            if not greeted:
                self._exchange_versions(deadline)
            self._admit(deadline)
            self.is_welcome = True
            self._was_dialled = greeted
            self._serve_all()
        except HostRefused as error:
            self.host.sessions.counts["refused"] += 1
            log.warning("%s was refused: %s", link.peer, str(error))
            self._report(error)
        except HostLost as error:
            log.info("the session of %s ended: %s", link.peer, error.why)
            self._report(error)
            self._end(Session.abandon)
        except EnvringError as error:
            self.host.sessions.counts["deaths"] += isinstance(error, WorkerDied)
            log.warning("the session of %s ended: %s", link.peer, str(error))
            self._report(error)
            self._end(Session.abandon)
        except (LinkClosed, TimeoutError) as error:
            log.info("%s is gone: %s", link.peer, str(error) or "it took too long")
        except Exception as error:
            log.exception("the session of %s ended by a fault of this host", link.peer)
            self._report(EnvringError(f"The host failed: {type(error).__name__}."))
            self._end(Session.abandon)
        finally:
            self._leave()
            link.close()

    def _report(self, error: BaseException) -> None:
        try:
            deadline = time.monotonic() + 1.0
            body = [remote_errors.describe(error)]
            self.link.send(frames.ERROR, body, deadline=deadline)
        except LinkClosed:
            pass

    def _exchange_versions(self, deadline: float) -> None:
        lowest, highest = self.link.receive_greeting(deadline)
        self.link.send_greeting(deadline)
        if frames.common_version(lowest, highest) is None:
            raise HostRefused(
                f"The caller speaks versions {lowest} to {highest} of the wire, this host speaks "
                f"{frames.LOWEST} to {frames.VERSION}.",
                "version",
            )

    def _admit(self, deadline: float) -> None:
        link, options = self.link, self.host.options
        frame = link.receive(deadline)
        hello: Any = codec.loads(frame.body) if frame.head.kind == frames.HELLO else None
        match hello:
            case {"client_id": str() as client_id} if (
                0 < len(client_id) <= 128 and client_id.isprintable()  # it is logged
            ):
                self.client_id = client_id
            case _:
                raise WireError("expected a HELLO with a client_id")
        if not options.admits(hello.get("key")):
            raise HostRefused("The key is missing or wrong.", "key")
        self._owner = options.digest(hello.get("key"))
        link.max_frame = min(options.max_frame, _MAX_OPEN)
        sessions = self.host.sessions
        free = None if sessions.slots is None else max(sessions.slots - sessions.used(), 0)
        welcome = {
            "server": f"envring {__version__}",
            "max_frame": options.max_frame,
            "free": free,
            "slots": sessions.slots,
            "workers": self.host.runtimes.workers,
            "runtimes": [runtime.name for runtime in self.host.runtimes],
            "features": [frames.SEND, frames.LOST, *packing.features()],
        }
        link.send(frames.WELCOME, [codec.dumps(welcome)], deadline=deadline)
        link.packing = packing.agreed(hello.get("features"))

    # -- requests ---------------------------------------------------------------------------

    def _serve_all(self) -> None:
        """Answers requests until the last one."""
        try:
            while True:
                self._serve_steps()
                self._serve(self._next())
        except CallerCloses as end:
            self._close(end.frame)

    def _next(self) -> Frame:
        """The next request."""
        patience = time.monotonic() + max(_OPEN_SECONDS, self.host.options.handshake_timeout)
        while True:
            try:
                return self._inbox.take(time.monotonic() + _LOOK_SECONDS)
            except TimeoutError:
                self._raise_if_over()
                # who waits for several hosts may have to wait for long
                is_late = time.monotonic() > patience and not self._was_dialled
                if self._entry is None and is_late:
                    raise

    def _raise_if_over(self) -> None:
        """Ends the session if the host has said so.

        Raises:
            HostLost: it has; the text says why.
        """
        why = self._entry.over if self._entry is not None else None
        if self.host.sessions.over:
            why = "the host was ended"
        if why is not None:
            raise HostLost((), "", why)

    def _serve(self, frame: Frame) -> None:
        """Answers a request; raises CallerCloses if it is a CLOSE."""
        kind, early = frame.head.kind, self._early
        self._early = False
        if early and kind not in (frames.CLOSE, frames.TEMPLATES):
            raise WireError("two requests at once: each has to be answered before the next")
        self.number = frame.head.number
        self.busy_since = time.monotonic()
        try:
            if kind == frames.STEP:
                self._batch(Session.step, frame)
            elif kind == frames.MESSAGE:
                self._batch(Session.message, frame)
            elif kind == frames.TEMPLATES:
                self._session().add_templates(codec.loads(frame.body))
            elif kind == frames.ATTACH:
                self._session().attach(codec.loads(frame.body))
                self._answer(frames.ATTACHED, True)
            elif kind == frames.OPEN:
                self._open(codec.loads(frame.body))
            elif kind == frames.SOME:
                self._serve_some(frame.body)
            elif kind == frames.CLOSE:
                raise CallerCloses(frame)
            else:
                raise WireError(f"a caller does not send frames of kind {kind}")
        finally:
            self._rest()
            if self._entry is not None:
                self._entry.since = time.monotonic()

    def _serve_some(self, body: bytes) -> None:
        """Has envs stepped by themselves until none is out."""
        session, entry = self._session(), self._entry
        assert entry is not None
        entry.busy = True
        try:
            sending = session.sending(self._check)
            latency = self.host.latencies["envring"]
            serve(sending, body, self.link, self._inbox, self._raise_if_over, latency)
        finally:
            entry.busy = False

    def _close(self, frame: Frame) -> None:
        """Ends the session as a CLOSE asks."""
        self.busy_since = time.monotonic()
        seconds, terminate = remote_closing.read_wish(frame.body)
        told: list[Closing] = []
        if frame.head.flags & frames.AT_ONCE:
            self._end(Session.abandon)
        else:
            self._end(lambda session: told.append(session.close(seconds, terminate)))
        answer = remote_closing.told(told[0]) if seconds is not None and told else True
        self._answer(frames.CLOSED, answer)

    def _serve_steps(self) -> None:
        """Answers steps on the short way until something else comes."""
        path, entry, link = self._path, self._entry, self.link
        if path is None or entry is None or entry.session is None or self._is_in_a_frame():
            return
        if link.is_slow:
            return
        while True:
            what = path.serve(_LOOK_SECONDS)
            self._count(path, entry)
            self._raise_if_over()
            if what == _OTHER:
                self._early = path.early
                link.unread(path.taken())
                return
            if what == _STARTED:
                self.number = path.number
                self.busy_since = time.monotonic()
                self._answer_batch(entry, path.number, Session.finish_step)
                self._rest()
                if self._early or self._is_in_a_frame():  # or a sign of life is sent in part
                    return

    def _is_in_a_frame(self) -> bool:
        return self._inbox.has_frame or not self.link.is_between_frames

    def _rest(self) -> None:
        """No request is under way: no sign of life may be sent any longer."""
        with self._living:
            self.busy_since = None

    def show_life(self, now: float) -> None:
        """Sends a sign of life if a request is under way and takes long; for another thread."""
        with self._living:
            if self.beat and self.busy_since is not None and now - self.busy_since >= self.beat:
                self.busy_since = now
                with suppress(LinkClosed):
                    self.link.send_if_free(frames.ALIVE, self.number)

    def _count(self, path: _core.HostPath, entry: Entry) -> None:
        """Books the steps that the short way has made."""
        batches, self._batches = path.batches - self._batches, path.batches
        resets, self._resets = path.resets - self._resets, path.resets
        if batches and entry.session is not None:
            entry.session.steps += (batches - resets) * entry.num_envs
            entry.since = time.monotonic()
            self.host.latencies["envring"].add_all(*path.take_latencies())

    def _batch(self, run: Callable[..., tuple[int, list[Any]]], frame: Frame) -> None:
        session, entry = self._session(), self._entry
        assert entry is not None
        if not self._has_looked and not self.link.is_of_interest(len(frame.body)):
            self._has_looked = True
            if self.link.is_plain:
                self._path = session.short_path(self.link)  # after this batch
        self._answer_batch(entry, frame.head.number, run, frame.body)

    def _answer_batch(
        self, entry: Entry, number: int, run: Callable[..., tuple[int, list[Any]]], *body_in: bytes
    ) -> None:
        began = time.monotonic()
        entry.busy = True
        try:
            flags, body = run(entry.session, *body_in, self._check)
        finally:
            entry.since = now = time.monotonic()
            entry.busy = False
        self.host.latencies["envring"].add(now - began)
        self._early = self._inbox.has_more()
        self.link.send(
            frames.RESULT,
            body,
            flags=flags,
            number=number,
            deadline=now + _SEND_SECONDS,
        )

    def _check(self) -> None:
        """Ends a wait for envs if the session is over, or its caller is gone or closes it."""
        self._raise_if_over()
        self._inbox.look()

    def _session(self) -> Session:
        session = None if self._entry is None else self._entry.session
        if session is None:
            raise WireError("a request came before the session was opened")
        assert isinstance(session, Session)
        return session

    def _answer(self, kind: int, value: Any) -> None:
        deadline = time.monotonic() + _SEND_SECONDS
        self.link.send(kind, [codec.dumps(value)], deadline=deadline)

    def _open(self, asked: Any) -> None:
        if self._entry is not None:
            raise WireError("this connection has a session already")
        match asked:
            case {"sources": list() as sources} if 0 < len(sources) <= MOST_ENVS and all(
                isinstance(source, dict) for source in sources
            ):
                pass
            case _:
                raise WireError("expected an OPEN with sources")
        beat = asked.get("heartbeat")
        if type(beat) in (int, float) and beat > 0:
            self.beat = beat / 3
        sessions = self.host.sessions
        wish = codec.dumps((asked.get("runtime"), sources))
        entry = sessions.claim(self.client_id, self._owner, wish, self.link)
        is_new = entry is None
        if entry is None:
            runtime = self.host.runtimes.find(
                asked.get("runtime"), [source.get("env") for source in sources]
            )
            wanted = [runtime.source(source) for source in sources]
            entry = sessions.reserve(
                self.client_id, self._owner, wish, runtime, len(wanted), self.link
            )
            self._entry = entry
            session = Session(runtime, wanted, asked, self.host.runtimes, self._check)
            sessions.built(entry, session)
            log.info(
                "%s opened session %s: %d envs of %s",
                self.link.peer,
                self.client_id,
                len(wanted),
                runtime.name,
            )
        else:
            self._entry = entry
            self._session().resume()
        self.link.max_frame = self.host.options.max_frame
        session = self._session()
        opened = {"new": is_new, "description": session.description, "plans": session.plans}
        self._answer(frames.OPENED, opened)

    # -- the end ----------------------------------------------------------------------------

    def _end(self, how: Callable[[Session], Any]) -> None:
        """Ends the session of this connection."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self.host.sessions.end(entry, how)

    def _leave(self) -> None:
        """Keeps the session for a while, or ends it if it never began."""
        entry = self._entry
        if entry is not None and entry.session is None:
            self._end(Session.abandon)
        elif entry is not None:
            self.host.sessions.let_go(entry, self.link)
