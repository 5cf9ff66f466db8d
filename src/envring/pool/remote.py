# SPDX-License-Identifier: MIT
"""A pool whose envs run on another host, behind our wire.

One connection is one session, with a contiguous slice of the envs. A batch is a request and its
answer; the rows of the answer are read straight into the segment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from envring._foreign.envring_worker.data import actions as codes
from envring.core import _core
from envring.errors import CodecError, EnvringError, HostLost, WireError, format_env_ids
from envring.launchers.sources import EnvSource
from envring.pool.conversation import Conversation
from envring.pool.dialling import Dialled
from envring.pool.mirror import ActionRows, Mirror
from envring.pool.protocol import StepParts
from envring.pool.remote_data import check_description, encode, read_reply, wish
from envring.pool.remote_end import RemoteEnd
from envring.pool.remote_flow import RemoteFlow
from envring.pool.remote_path import open_path
from envring.pool.reply import Reply
from envring.transport import codec, frames
from envring.transport.frames import Frame, Head, Link
from envring.transport.segment import MappedSegment
from envring.workers.options import PoolOptions

_COMPLETE, _LONG_WAY = 0, 2  # what RemotePath.wait returns
# messages that are sent with what comes after them
_GO_WITH = {
    "actions": codes.MESSAGE,
    "some_actions": codes.MESSAGE,
    "reset_arguments": codes.RESET,
}


class RemotePool(RemoteEnd):
    """A `Pool` of the envs that one host holds.

    Args:
        sources: its envs.
        env_ids: their ids here.
        dialled: the host, connected.
        options: as for workers here; what concerns processes is the host's to decide.
        workers: number of processes there, None for as many as it has CPUs.

    Attributes:
        is_new: whether the session was made now; False if the host had kept it.
    """

    foreign = detaches = True
    vectors = restarts = None  # a host refuses vector envs
    segment_file = None  # memory of this process will do
    num_rings = 1
    hints = 0
    apart = False  # the host cannot write memory here

    def __init__(
        self,
        sources: Sequence[EnvSource],
        env_ids: range,
        dialled: Dialled,
        options: PoolOptions,
        workers: int | None = None,
    ) -> None:
        """Asks for the envs; `greet` waits for them."""
        self.address = dialled.address
        self.num_envs = len(env_ids)
        self.num_workers = 0  # here
        self.spans = [(env_ids.start, env_ids.stop)]
        self.compiled = options.compiled
        self.options = options
        self.processes: list[Any] = []
        self.any_info = False
        self.is_new = True
        self.env_ids = env_ids
        self._host = Conversation(dialled, env_ids, self._place)
        self._number = 0  # of the batch under way, or of the last one
        self._waited, self._slot = True, -1  # whether its answer is here; where its rows go
        self._result: Frame | None = None
        self._flow: RemoteFlow | None = None
        self._told: dict[int, bytes] = {}  # actions, or arguments of resets, by code: they go first
        self.mirror: Mirror
        self._path: _core.RemotePath | None = None
        self._link: Link | None = dialled.link
        self._release = dialled.release
        self._who = format_env_ids(env_ids)
        try:
            self._open(sources, workers)
        except BaseException:
            self.abandon()
            raise

    # -- opening ----------------------------------------------------------------------------

    def _open(self, sources: Sequence[EnvSource], workers: int | None) -> None:
        timeout = self.options.start_timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        asked = wish(self.address, sources, self.options, workers, self._host.heartbeat)
        self.send(frames.OPEN, [codec.dumps(asked)])

    def greet(self) -> None:
        """Waits until every env is built.

        Raises:
            LaunchError: the host refuses, or an env could not be built; the type says why.
            WorkerTimeout: time was up.
            HostLost: the connection ended.
        """
        try:
            opened = self._answer(frames.OPENED)
            description = opened.get("description") if isinstance(opened, dict) else None
            if not isinstance(description, dict):
                raise WireError(f"{self.address} did not say what its envs are")
            self.is_new = opened.get("new") is True
            self.descriptions = [{**description, "foreign": True, "native": True, "vectors": None}]
            check_description(self.descriptions[0], self.num_envs)
        except BaseException:
            self.abandon()
            raise

    def attach(self, segment: MappedSegment, plans: Mapping[str, Any]) -> None:
        """Takes the segment that rows are to be received into."""
        rows = slice(*self.spans[0])
        self.mirror = Mirror(segment, rows)
        self.action_rows = ActionRows(
            plans["action"], segment.action_slab, segment.core.num_envs, rows
        )
        self.num_leaves = len(segment.spec.obs_leaves)
        self.mirror.template_ids[...] = 0
        self.mirror.final_marks[...] = 0
        self.send(frames.ATTACH, [codec.dumps(dict(plans))])
        self._answer(frames.ATTACHED)

    def _answer(self, kind: int) -> Any:
        """What the host says to a request that is not a batch."""
        try:
            return self._host.answer(kind, self._deadline, self.options.start_timeout)
        except EnvringError as error:
            raise self._end(error) from error.__cause__

    def short_path(self, parts: StepParts) -> _core.RemotePath | None:
        """The short way through a step; none with TLS, or where actions are messages."""
        if not self._host.link.is_plain or (parts.actions is None and parts.ints is None):
            return None
        nbytes = sum(view.nbytes for view in self.action_rows.views(codes.SLAB))
        if nbytes != 8 * self.num_envs:
            parts = parts._replace(ints=None)
        return self._make_path(*parts)

    def be_part(self) -> None:
        """Takes the short way through steps that `start_step` starts, too, as part of a batch."""
        if self._host.link.is_plain and self.action_rows.are_in_slab:
            self._make_path(None, None, None, None, False)

    def _make_path(self, *parts: Any) -> _core.RemotePath:
        link, number = self._host.link, self._number
        self._path = path = open_path(link, self.action_rows, self.mirror, number, *parts)
        return path

    def leave_path(self) -> None:
        """Goes on with a step that was started on the short way."""
        path, link = self._path, self._link
        if path is None:
            return
        self._number = path.number
        if path.torn and link is not None:
            link.shut_down()  # a part of a frame may have been sent: nothing can follow it
        elif path.pending:
            assert link is not None
            self._slot, self._waited, self._result = path.slot, False, None
            self._host.sent = path.sent_ns * 1e-9
            link.unread(path.taken())
        elif path.complete:
            path.taken()
            self._result = None

    def pause_path(self) -> None:
        """Says whether the short way may be taken: not if bytes were read that are next."""
        if self._path is not None:
            link = self._host.link
            self._path.paused = link.is_slow or not link.is_between_frames

    # -- batches ----------------------------------------------------------------------------

    def flow(self) -> RemoteFlow:
        """Its envs, each on its own; see `Pool`.

        Raises:
            EnvringError: the host does not know how.
        """
        if not self._host.takes_some:
            raise EnvringError(
                f"{self.address} has an older envring without `send` and `recv`, so {self._who} "
                "cannot be sent. Install the same release there, or use `step`."
            )
        self._flow = RemoteFlow(self)
        return self._flow

    def start_step(self, slot: int, action: int) -> None:
        """Starts a step or a reset of every env; see `Pool`."""
        self.raise_if_dead()
        if self._path is not None and self._path.send(slot, action):
            return
        if action == codes.MESSAGE:
            body: list[Any] = [self.take_told(action) or b""]
        else:
            body = self.action_rows.views(action)
        self._begin(frames.STEP, [action.to_bytes(4, "little"), *body], slot)

    def start(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Starts a batch of another kind; see `Pool`."""
        self.raise_if_dead()
        self.start_encoded(messages[0][0], self.encode(messages))

    def start_encoded(self, name: str, messages: Sequence[Any]) -> None:
        """`start`, with messages of that name that are encoded already."""
        ((_, slot, data),) = messages
        self._begin(frames.MESSAGE, [data], slot)

    def _begin(self, kind: int, body: Sequence[Any], slot: int) -> None:
        self.leave_path()
        self._number += 1
        if self._path is not None:
            self._path.number = self._number
        self._slot, self._waited, self._result = slot, False, None
        self.send(kind, body, self._number)

    def tell(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Sends messages that are not answered."""
        self.raise_if_dead()
        self.tell_encoded(self.encode(messages))

    def tell_encoded(self, messages: Sequence[Any]) -> None:
        """`tell`, with messages that are encoded already."""
        ((name, _, data),) = messages
        if name in _GO_WITH:
            self._told[_GO_WITH[name]] = data
        else:
            self.send(frames.TEMPLATES, [data])

    def take_told(self, code: int) -> bytes | None:
        """What was told for the next step or reset of that code, once."""
        return self._told.pop(code, None)

    def encode(self, messages: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Encodes before anything is sent, so that what cannot travel changes nothing.

        Raises:
            UnsendableError: something is not plain data, or a name that hosts refuse.
        """
        (message,) = messages
        name, *arguments = message
        if name == "templates":
            for template in arguments[0]:
                self.mirror.add_template(*template)
        return [encode(name, arguments, self.address)]

    def send_actions(self, actions: Sequence[Any]) -> None:
        """Keeps a batch of actions, which goes with the next step."""
        self.tell([("actions", list(actions))])

    def wait(self, deadline: float | None) -> bool:
        """Waits for the batch; see `Pool`.

        Raises:
            HostLost: the connection ended, or the host is silent.
            WorkerDied: a worker there ended.
            WorkerTimeout: workers there took longer than they may.
        """
        self.raise_if_dead()
        if self._path is not None:
            came = self._path.wait(0 if deadline is None else int(deadline * 1e9))
            if came != _LONG_WAY:
                return came == _COMPLETE
        self.leave_path()
        while not self._waited:
            frame = self.receive(deadline)
            if frame is None:
                return False
            if frame.head.kind == frames.RESULT and frame.head.number == self._number:
                self._result, self._waited = frame, True
                self.pause_path()
            elif frame.head.kind != frames.ALIVE:
                raise self.unexpected()
        return True

    def drain(self) -> None:
        """Nothing waits for room here."""

    def collect(self) -> Reply | None:
        """What the complete batch has beyond arrays, or None."""
        self.leave_path()
        mirror, result = self.mirror, self._result
        self._result = None
        if result is None:  # a step on the short way
            return self._unpack(mirror, frames.ARRAYS, memoryview(b""))
        flags, data = result.head.flags, memoryview(result.body)
        try:
            return self._unpack(mirror, flags, data)
        except (WireError, CodecError) as error:
            raise self.unreadable(error) from error

    def _unpack(self, mirror: Mirror, flags: int, data: memoryview) -> Reply | None:
        data = mirror.unpack(flags, data)
        reply = None
        if flags & frames.REPLY:
            reply = read_reply(codec.loads(bytes(data)), self.env_ids, self.num_leaves)
            mirror.set_odd(reply.odd)
        elif data:
            raise WireError(f"{len(data)} bytes are left over")
        self.any_info = bool(flags & frames.COLUMNS or (reply is not None and reply.odd))
        return reply

    # -- the connection ---------------------------------------------------------------------

    def send(self, kind: int, body: Sequence[Any], number: int = 0) -> None:
        """Sends a frame; reads answers of envs that are out meanwhile, if there is no room."""
        flow = self._flow
        meanwhile = flow.ready if flow is not None and flow.num_out else None
        try:
            self._host.send(kind, body, number, meanwhile)
        except HostLost as error:
            raise self._end(error) from None

    def receive(self, deadline: float | None) -> Frame | None:
        """The next frame, None when time was up; raises what the host reports."""
        try:
            return self._host.receive(deadline)
        except EnvringError as error:
            raise self._end(error) from error.__cause__

    def _place(self, head: Head) -> Sequence[Any]:
        """Where the rows of a batch go."""
        if head.kind != frames.RESULT or not head.flags & frames.ARRAYS:
            return ()
        if head.number != self._number or self._slot < 0 or self._waited:
            raise self._host.unexpected()
        return self.mirror.arrays(self._slot)

    def fileno(self) -> int:
        """The descriptor of the connection."""
        return self._host.link.fileno()
