# SPDX-License-Identifier: MIT
"""A session: the envs of one caller, and what it has them do.

The envs run in worker processes. What their workers answer is plain data, which is checked here as
in any caller of such workers, and sent on as plain data.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from envring._foreign.envring_worker.data import actions as codes
from envring._foreign.envring_worker.data.infos import ODD
from envring.batch import messages
from envring.batch.templates import TemplateBook, rebuild
from envring.core import _core
from envring.cpus import usable_cpus
from envring.errors import WireError, format_env_ids
from envring.gateways.latency import BOUNDS
from envring.gateways.plans import check_plans, check_sizes, plans_of, spec_of, take_lost
from envring.gateways.requests import (
    check_count,
    check_mask,
    merged,
    messages_of,
    number_of_workers,
    plain,
    pool_arguments,
    signature,
)
from envring.gateways.runtimes import Runtime
from envring.gateways.sending import Sending
from envring.gateways.switching import Refused, Switches
from envring.launchers.sources import EnvSource
from envring.pool.ending import Closing
from envring.pool.mirror import ALL, STEP_KINDS, ActionRows, Mirror, Which
from envring.pool.opening import open_pool
from envring.pool.protocol import Pool
from envring.pool.publishing import publish_if_asked
from envring.pool.reply import REFUSED, Reply
from envring.pool.worker_pool import WorkerPool
from envring.transport import codec, frames
from envring.transport.frames import Link
from envring.transport.segment import MappedSegment, create
from envring.workers.starting import looking

log = logging.getLogger("envring.serve")

_SLICE = 0.25  # seconds between two looks whether the caller is still there
_SLEEP = 0.4  # seconds of a receive on the short way
_UNKNOWN = 0xFFFE  # of a template that the caller of now does not know


class Session:
    """Envs of one caller.

    Args:
        runtime: what they are.
        sources: the envs.
        asked: the caller's OPEN message.
        runtimes: all that the host has.
        still_there: is called while the envs are built; what it raises ends that.

    Attributes:
        num_envs: number of envs.
        description: what they are; see `describe` in the worker package.
        plans: of observations and actions, "obs" and "action".
        steps: env steps so far.
    """

    def __init__(
        self,
        runtime: Runtime,
        sources: Sequence[EnvSource],
        asked: Mapping[str, Any],
        runtimes: Iterable[Runtime] = (),
        still_there: Callable[[], None] = lambda: None,
    ) -> None:
        """Builds the envs.

        Raises:
            HostRefused: what was asked for is malformed.
            LaunchError: an env could not be built; the type says why.
            WorkerDied: a worker ended while it built its envs.
        """
        self.runtime = runtime
        self.num_envs = len(sources)
        self._label = f"serve {sources[0].env}"  # for those who look from outside
        self.steps = 0
        self._switches = Switches(runtime, sources, runtimes)
        self._unsettled = False
        self._mirror: Mirror | None = None
        self._path: _core.HostPath | None = None
        self._sending: Sending | None = None
        with looking(still_there):
            self.pool: Pool = open_pool(
                list(sources),
                name="Worker<Session>",
                num_workers=number_of_workers(runtime, asked),
                max_concurrency=None,
                launcher=None,
                context=None,
                daemon=True,
                spin=None,
                pin=False,
                worker_env=None,
                step_loop="compiled" if asked.get("compiled", True) is True else "reference",
                **pool_arguments(runtime, asked),
            )
        try:
            self.description = merged(self.pool.descriptions)
            self.plans = plans_of(self.description)
        except BaseException:
            self.pool.abandon()
            raise

    def attach(self, plans: Any) -> None:
        """Lays a segment out for the caller's plans of observations and actions, and what was lost.

        Raises:
            WireError: they are not plans, or others than before.
        """
        plans, lost = take_lost(plans, self.num_envs)
        obs, action = checked = check_plans(plans)
        trees = {"obs": obs.tree, "action": action.tree if action else None}
        if self._mirror is not None:
            if trees != self.plans or lost is not None:
                raise WireError("the session has other plans, and envs that use them")
            return
        check_sizes(checked, check_plans(self.plans))
        spec = spec_of(obs, action, self.num_envs, self.pool.num_rings)
        self.segment: MappedSegment = create(spec, self.pool.segment_file)
        self.pool.attach(self.segment, trees if lost is None else {**trees, "lost": lost})
        publish_if_asked(self.pool, time.monotonic(), self._label)
        rows = slice(0, self.num_envs)
        self._mirror = Mirror(self.segment, rows)
        self._actions = ActionRows(trees["action"], self.segment.action_slab, self.num_envs, rows)
        self._book = TemplateBook(self.num_envs, self.segment.info_area, self.segment.back_infos)
        self._known: dict[Any, int] = {}  # template ids by signature
        self.plans = trees
        # dynamic observations, and actions that are messages, go the long way
        self._plain = None not in obs.leaves and action is not None
        self._forget_templates()

    def _attached(self) -> Mirror:
        """The rows of the envs. A caller that brings no plans has those of the host."""
        if self._mirror is None:
            self.attach(self.plans)
        assert self._mirror is not None
        return self._mirror

    def resume(self) -> None:
        """A caller that comes back numbers templates anew."""
        if self._mirror is not None:
            self._forget_templates()

    def _forget_templates(self) -> None:
        self._theirs = np.full(1 << 16, _UNKNOWN, np.uint16)  # the caller's ids by ours
        self._theirs[0] = self._theirs[ODD] = 0

    # -- batches ----------------------------------------------------------------------------

    def step(self, body: bytes, still_there: Callable[[], None]) -> tuple[int, list[Any]]:
        """Runs a STEP, which may be a plain reset; returns flags and body of the result.

        Raises:
            WireError: the frame is malformed.
            WorkerDied: a worker ended.
        """
        self._attached()
        code, data = int.from_bytes(body[:4], "little"), memoryview(body)[4:]
        if code == codes.MESSAGE:
            actions = codec.loads(bytes(data))
            if not isinstance(actions, list) or len(actions) != self.num_envs:
                raise WireError(f"expected a list of {self.num_envs} actions")
            self._settle(still_there)
            self.pool.send_actions(actions)
        else:
            views = self._actions.views(code)
            if sum(len(view) for view in views) != len(data):
                raise WireError(f"a step has {len(data)} bytes of actions")
            self._settle(still_there)
            for view in views:
                view[:] = data[: len(view)]
                data = data[len(view) :]
        self.pool.start_step(0, code)
        self.steps += self.num_envs * (code != codes.RESET)
        return self._result(still_there, arrays=True)

    def short_path(self, link: Link) -> _core.HostPath | None:
        """The short way through steps that come over a connection; see `finish_step`."""
        pool, mirror = self.pool, self._attached()
        if not isinstance(pool, WorkerPool) or pool.relays or not self._plain:
            return None
        assert pool.port is not None
        actions = self._actions.views(codes.SLAB)
        ints = sum(view.nbytes for view in actions) == 8 * self.num_envs
        rows = _core.FrameParts(mirror.arrays(0))
        parts = _core.FrameParts(actions)
        near = link.is_near and pool.num_workers < usable_cpus()
        fd, sleep_ns = link.fileno(), link.sleep_in_receives(_SLEEP)
        self._path = _core.HostPath(
            pool.port, fd, sleep_ns, STEP_KINDS, parts, rows, ints, BOUNDS, near
        )
        return self._path

    def sending(self, still_there: Callable[[], None]) -> Sending:
        """Its envs, each on its own, when no batch is under way."""
        mirror = self._attached()
        self._settle(still_there)
        if self._sending is None:
            self._sending = Sending(self, mirror, self._actions)
        return self._sending

    def finish_step(self, still_there: Callable[[], None]) -> tuple[int, list[Any]]:
        """Goes on with a step or reset that was started on the short way; see `step`."""
        assert isinstance(self.pool, WorkerPool)
        assert self._path is not None
        if self._path.resetting:
            self.pool.expect("reset")
        return self._result(still_there, arrays=True)

    def message(self, body: bytes, still_there: Callable[[], None]) -> tuple[int, list[Any]]:
        """Runs a MESSAGE; returns flags and body of the result.

        Raises:
            WireError: it is none of those that exist.
            WorkerDied: a worker ended.
        """
        self._attached()
        message = codec.loads(body)
        if not isinstance(message, (tuple, list)) or not message or type(message[0]) is not str:
            raise WireError("a message begins with its name")
        if message[0] == "reset":
            return self._reset(list(message[1:]), still_there)
        each = messages_of(message, self.pool.spans, self.num_envs)
        self._settle(still_there)
        self.pool.start(each)
        return self._result(still_there, arrays=False)

    def _reset(
        self, arguments: list[Any], still_there: Callable[[], None]
    ) -> tuple[int, list[Any]]:
        spans, n = self.pool.spans, self.num_envs
        match codec.matchable(arguments):
            case (list() | tuple() as seeds, options, mask, bool() as per_env):
                pass
            case _:
                raise WireError("a reset has seeds, options, a mask and whether options differ")
        check_count(seeds, n)
        if not all(seed is None or isinstance(seed, (int, np.integer)) for seed in seeds):
            raise WireError("a seed is an integer or None")
        if per_env:
            check_count(options, n)
        if mask is not None:
            check_mask(mask, n)
        try:
            options, sources = self._switches.take(options, mask, per_env)
        except Refused as error:
            log.warning("a session of %s: %s", self.runtime.name, str(error))
            reply = Reply([(error.env_id, REFUSED, None, str(error), "")])
            return frames.REPLY, [codec.dumps(plain(reply, n))]
        self._settle(still_there)
        if sources is not None:
            self.pool.tell(messages.replace(spans, sources))
        self.pool.start(messages.reset(spans, 0, seeds, options, mask, per_env))
        result = self._result(still_there, arrays=True)
        if sources is not None:
            self._switches.done(self._failed)
        return result

    def add_templates(self, templates: Any) -> None:
        """New templates of the caller.

        Raises:
            WireError: they are malformed.
        """
        mirror = self._attached()
        if not isinstance(templates, list):
            raise WireError("expected a list of templates")
        for template in templates:
            match codec.matchable(template):
                case (int() as theirs, list() | tuple() as parts) if 0 < theirs < _UNKNOWN:
                    signed = signature(parts)
                case _:
                    raise WireError("a template is an id and its keys")
            if theirs in self._theirs:
                raise WireError(f"there is a template {theirs} already")
            own = self._known.get(signed)
            if own is None:
                made = self._book.admit(signed)
                if made is None:
                    continue  # no room: such infos travel whole
                own, entries = made
                self._known[signed] = own
                mirror.add_template(own, entries)
                self.pool.tell([("templates", [made])] * len(self.pool.spans))
            self._theirs[own] = theirs

    def _settle(self, still_there: Callable[[], None]) -> None:
        """Waits for what a caller has asked for that went away, and drops it."""
        if self._sending is not None:
            self._sending.settle(still_there)
        if self._unsettled:
            self._wait(still_there)
            self.pool.collect()
            self._unsettled = False

    def _wait(self, still_there: Callable[[], None]) -> None:
        self._unsettled = True
        while not self.pool.wait(time.monotonic() + _SLICE):
            still_there()

    def _result(self, still_there: Callable[[], None], arrays: bool) -> tuple[int, list[Any]]:
        self._wait(still_there)
        reply = self.pool.collect()
        self._failed = set() if reply is None else {failure[0] for failure in reply.failures}
        self._unsettled = False
        return self.pack(reply, ALL, arrays)

    def pack(self, reply: Reply | None, which: Which, arrays: bool = True) -> tuple[int, list[Any]]:
        """Flags and body of an answer: what some envs gave, whose rows are in slot 0."""
        mirror = self._attached()
        flags = 0
        body: list[Any] = []
        if arrays:
            flags |= frames.ARRAYS
            body += mirror.arrays(0) if which is ALL else mirror.some_arrays(0, which)
        if self.pool.any_info or which is not ALL:
            ids = self._theirs[mirror.template_ids[which]]
            unknown = ids == _UNKNOWN
            if unknown.any():
                reply = reply or Reply()
                found = np.arange(self.num_envs)[which][unknown]
                for env_id in found.tolist():
                    reply.odd[env_id] = self._info(env_id, reply)
                ids[unknown], mirror.template_ids[found] = 0, ODD
            if ids.any():
                flags |= frames.COLUMNS
                body += mirror.pack_infos(ids, which)
        if arrays and mirror.final_marks[which].any():
            flags |= frames.FINALS
            body += mirror.pack_finals(which)
        if reply is not None:
            flags |= frames.REPLY
            for env_id, _, _, text, trace in reply.failures[:1]:
                line = (trace.strip() or text).rpartition("\n")[2]
                log.info("a session of %s: env %d raised %.200r", self.runtime.name, env_id, line)
            body.append(codec.dumps(plain(reply, self.num_envs)))
        return flags, body

    def _info(self, env_id: int, reply: Reply) -> dict[str, Any]:
        """The whole info of an env whose template an earlier caller made."""
        nodes = self._book.nodes(int(self.segment.template_ids[env_id]), env_id)
        info = rebuild(nodes, env_id, reply.objects, lambda _: None)
        if any(node.code == "F" for node in nodes):
            info.pop("final_obs")  # it travels beside
        reply.objects.pop(env_id, None)
        return info

    def close(self, timeout: float | None = None, terminate: bool = False) -> Closing:
        """Closes the envs and ends their workers; what became of them."""
        assert isinstance(self.pool, WorkerPool)  # all envs have one launcher
        closing = self.pool.end(timeout, terminate)
        for env_ids, _ in closing.killed:
            log.warning(
                "a session of %s: %s did not close in time; their worker was killed",
                self.runtime.name,
                format_env_ids(env_ids),
            )
        for env_id, text, _ in closing.raised:
            log.info(
                "a session of %s: env %d raised in close(): %.200r", self.runtime.name, env_id, text
            )
        if self._mirror is not None:
            self.segment.close_fd()
        return closing

    def hurry(self) -> None:
        """Kills the workers, for which a `close` of another thread waits."""
        for process in filter(None, self.pool.processes):
            process.kill()

    def why_dead(self) -> None:
        """None: its caller's next request shows it, with the reason."""

    def abandon(self) -> None:
        """Ends the workers, within about a second."""
        self.pool.abandon()
