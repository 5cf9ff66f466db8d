# SPDX-License-Identifier: MIT
"""A pool without processes, to debug with and for tiny envs."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from envring._foreign.envring_worker.data import actions as codes
from envring.core import _core
from envring.pool.flow import InlineFlow
from envring.pool.reply import Reply
from envring.transport.advice import advise_process_each
from envring.transport.segment import MappedSegment
from envring.workers import local_main
from envring.workers.options import PoolOptions


class InlinePool:
    """A `Pool` that steps its envs in the calling process.

    Attributes:
        loop: the compiled step loop, if it is used; once it is attached.
    """

    num_workers = 0
    num_rings = 1
    foreign = False
    restarts = None
    detaches = False  # caller and envs hold the same objects
    segment_file = None  # memory of this process will do
    vectors: Sequence[tuple[int, int]] | None = None

    def __init__(
        self, env_fns: Sequence[Callable[[], Any]], options: PoolOptions, first_env: int = 0
    ) -> None:
        """Builds the envs; `first_env` is the first one's id, of those that others step, too."""
        self.num_envs = len(env_fns)
        self.spans = [(first_env, first_env + self.num_envs)]
        self.compiled = options.compiled
        self.processes: list[Any] = []
        self.hints = 0
        self.any_info = False
        self._closed = False
        try:
            envs = local_main.make_envs(env_fns, first_env)
        except Exception as error:
            env_id = error.envring_env_id  # type: ignore[attr-defined]
            advise_process_each(error, env_id, first_env)
            raise
        self.envs = local_main.make_slice(envs, first_env, options.autoreset_mode)
        self.descriptions = [local_main.describe(envs)]

    def greet(self) -> None:
        """The envs are built already."""

    def renumber(self, spans: Sequence[tuple[int, int]]) -> None:
        """Gives the envs other ids: they are those of vector envs."""
        self.spans = list(spans)
        self.num_envs = self.envs.num_envs
        self.envs.first_env = spans[0][0]

    def attach(self, segment: MappedSegment, plans: Mapping[str, Any]) -> None:
        """Gives the envs their arrays."""
        self.segment = segment
        self.loop = local_main.attach_slice(self.envs, segment, plans, self.compiled)
        if self.loop is not None and self.num_envs == segment.core.num_envs:
            port = _core.WorkerPort(segment.core, 0, 0, self.num_envs, 0.0, False, 1)
            self.loop.count_for(port)  # for its statistics: no bell is rung here

    def short_path(self, *_: Any) -> None:
        """None: a step is a call."""

    def start_step(self, slot: int, action: int) -> None:
        """Steps every env, or resets it; see `Pool`."""
        if action == codes.RESET:
            self.start([("reset_plainly", slot)])
        elif self.loop is not None:
            self.loop.step(slot, action)
        else:
            self.envs.step(slot, self.envs.actions.read(action))

    def start(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Runs a message."""
        name, *arguments = messages[0]
        getattr(self.envs, name)(*arguments)
        if self.loop is not None:
            self.loop.rebind()

    def tell(self, messages: Sequence[tuple[Any, ...]]) -> None:
        """Info templates, or what is kept for single envs."""
        name, value = messages[0]
        if name == "some_actions":
            self.envs.actions.keep(value)
            return
        if name == "reset_arguments":
            self.envs.reset_arguments.update(value)
            return
        for template in value:
            self.envs.infos.add_template(template)
            if self.loop is not None:
                self.loop.add_template(template)

    def flow(self) -> InlineFlow:
        """Its envs, each on its own; see `Pool`."""
        return InlineFlow(self)

    def run_one(self, env_id: int, slot: int, code: int) -> None:
        """Steps an env into a slot, or resets it."""
        i = env_id - self.spans[0][0]
        if self.loop is not None:
            self.loop.run_one(i, slot, code)
        else:
            actions = None if code == codes.RESET else self.envs.actions.read(code)
            self.envs.run_one(i, slot, actions)

    def send_actions(self, actions: Sequence[Any]) -> None:
        """Keeps actions for the next step."""
        self.envs.actions.message = list(actions)

    def wait(self, deadline: float | None) -> bool:
        """Nothing is ever late here."""
        return True

    def drain(self) -> None:
        """Nothing is ever too long here."""

    def collect(self) -> Reply | None:
        """As in WorkerPool."""
        self.any_info = bool(self.segment.template_ids[slice(*self.spans[0])].any())
        part = self.envs.take_reply()
        if part is None:
            return None
        reply = Reply()
        reply.add(self.spans[0][0], part, pickle.loads)
        return reply

    def close(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the envs."""
        if not self._closed:
            self.envs.close()
            self._closed = True

    def abandon(self) -> None:
        """Closes the envs."""
        self.close()
