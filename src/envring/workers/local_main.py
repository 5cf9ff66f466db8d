# SPDX-License-Identifier: MIT
"""A worker process in the caller's interpreter, from its first to its last line."""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from envring._foreign.envring_worker.commands import CommandLoop
from envring._foreign.envring_worker.data.infos import InfoWriter
from envring._foreign.envring_worker.data.obs import ObsWriter
from envring._foreign.envring_worker.envs.vectors import (
    MIXED,
    check_vector_env,
    is_vector_env,
    vectors_of,
)
from envring._foreign.envring_worker.loop import EnvSlice
from envring._foreign.envring_worker.process.apart import run_apart
from envring._foreign.envring_worker.raised import describe_error
from envring._foreign.envring_worker.retiring import Retired
from envring._foreign.envring_worker.vector_slice import VectorSlice
from envring.core import _core
from envring.errors import EnvFnError
from envring.transport import segment
from envring.transport.channel import Channel, ChannelClosed
from envring.transport.pickling import add_sources, dumps, dumps_by_value
from envring.workers import stderr
from envring.workers.blas import limit
from envring.workers.lifeline import GRACE
from envring.workers.options import WorkerOptions
from envring.workers.seeding import seed_generators


class CloudpickledFns:
    """Env functions that cross to another process as cloudpickle, if they have to cross at all."""

    def __init__(self, env_fns: Sequence[Callable[[], Any]], prelude: Any = None) -> None:
        """Keeps the functions, and what is to be unpickled before they are."""
        self.env_fns = list(env_fns)
        self.prelude = prelude

    def __getstate__(self) -> tuple[bytes, dict[str, list[str]]]:
        """Called under forkserver and spawn only."""
        return dumps_by_value((self.prelude, self.env_fns))

    def __setstate__(self, state: tuple[bytes, dict[str, list[str]]]) -> None:
        """The other side."""
        data, sources = state
        add_sources(sources)
        self.prelude, self.env_fns = pickle.loads(data)


def describe(envs: Sequence[Any]) -> dict[str, Any]:
    """What the caller must know of the envs: spaces without repetitions, metadata of the first."""

    def unique(spaces: Sequence[Any]) -> tuple[list[Any], list[int]]:
        kinds: list[Any] = []
        which = []
        for space in spaces:
            for number, kind in enumerate(kinds):
                if kind is space or (type(kind) is type(space) and bool(kind == space)):
                    which.append(number)
                    break
            else:
                which.append(len(kinds))
                kinds.append(space)
        return kinds, which

    first, vectors = envs[0], vectors_of(envs)

    def spaces(name: str) -> tuple[list[Any], list[int]]:
        if vectors is None:
            return unique([getattr(env, name) for env in envs])
        kinds, which = unique([getattr(env, "single_" + name) for env in envs])
        counts = [count for count, _ in vectors]
        return kinds, np.repeat(which, counts).tolist()

    return {
        "observation_spaces": spaces("observation_space"),
        "action_spaces": spaces("action_space"),
        "vectors": vectors,
        "metadata": dict(first.metadata or {}),
        "render_mode": getattr(first, "render_mode", None),
        "spec": _spec(first),
    }


def _spec(env: Any) -> Any:
    try:
        spec = env.spec
        dumps(spec, check=True)
    except Exception:
        return None
    return spec


def attach_slice(
    envs: EnvSlice, mapped: segment.MappedSegment, plans: Mapping[str, Any], compiled: bool
) -> _core.StepLoop | None:
    """Connects a slice with a segment; returns the compiled step loop, if wanted."""
    num_envs = mapped.core.num_envs
    last = envs.first_env + envs.num_envs
    envs.attach(
        mapped,
        ObsWriter(plans["obs"]),
        InfoWriter(envs.first_env, envs.num_envs, mapped.template_ids, mapped.info_area),
    )
    envs.actions = envs.reader(plans["action"], num_envs, envs.first_env, last, mapped.action_slab)
    if not compiled or envs.batched:
        return None
    return _core.StepLoop(
        envs,
        mapped.core,
        [offset for offset, _, _ in mapped.spec.obs_leaves],
        [offset for offset, _, _ in mapped.spec.outcomes],
        envs.actions.scalars(),
    )


def make_slice(envs: list[Any], first_env: int, autoreset_mode: int) -> EnvSlice:
    """A slice of the envs, which are either all vector envs or all single ones."""
    kind = VectorSlice if is_vector_env(envs[0]) else EnvSlice
    return kind(envs, first_env, autoreset_mode, dumps)


def make_envs(fns: Sequence[Callable[[], Any]], first_env: int) -> list[Any]:
    """Builds the envs. Closes those built before if one fails, and notes which one it was."""
    envs: list[Any] = []
    slots: dict[int, int] = {}  # by the id of what is inside all wrappers
    for fn in fns:
        try:
            env = fn()
            if not hasattr(env, "step") or not hasattr(env, "observation_space"):
                raise TypeError(f"env_fns[{first_env + len(envs)}] returned {env!r}, not an env")
            env_id = first_env + len(envs)
            other = slots.setdefault(id(getattr(env, "unwrapped", env)), env_id)
            if other != env_id:
                raise EnvFnError(
                    f"env_fns[{other}] and env_fns[{env_id}] return the same env object, which "
                    "would be stepped for each of them. Let each function build an env of its own."
                )
            if is_vector_env(env):
                check_vector_env(env, f"env_fns[{env_id}]")
            if is_vector_env(env) != is_vector_env([*envs, env][0]):
                raise EnvFnError(MIXED % (first_env, env_id))
            envs.append(env)
        except BaseException as error:
            error.envring_env_id = first_env + len(envs)  # type: ignore[attr-defined]
            for env in envs:
                try:
                    env.close()
                except BaseException:
                    traceback.print_exc()
            raise
    return envs


def _adopt_lifeline(lifeline: int) -> None:
    """Has multiprocessing's view of this process's parent tell its end by our pipe."""
    parent = multiprocessing.parent_process()
    sentinel = getattr(parent, "_sentinel", None)
    if isinstance(sentinel, int):
        os.dup2(lifeline, sentinel, inheritable=False)


def _reset_signals() -> None:
    """Gives the process the signals that an env may expect, not the caller's handlers."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # it may have been ignored
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _prepare(options: WorkerOptions) -> None:
    for name, value in options.environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if options.blas_threads is not None:
        limit(options.blas_threads)  # nothing to do, but for a fork server that was there before
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    gc.freeze()  # a collection would copy every page of the caller's objects
    seed_generators(options.seeds)
    faulthandler.enable(file=sys.stderr, all_threads=False)


def main(
    options: WorkerOptions,
    fns: CloudpickledFns,
    sock: socket.socket,
    pipes: Sequence[Any],
) -> None:
    """The worker's life.

    Args:
        options: how to run.
        fns: functions that build its envs.
        sock: its end of the control channel.
        pipes: stderr pipe's ends, stderr's tail, lifeline's read end; each has detach() -> fd.
    """
    read_end, write_end, tail, lifeline = (pipe.detach() for pipe in pipes)
    _adopt_lifeline(lifeline)
    run_apart(_core, "envring-lifeline", [lifeline], _core.watch_lifeline, lifeline, GRACE)
    _reset_signals()
    stderr.capture(read_end, write_end, tail)
    _prepare(options)
    channel = Channel(sock)
    try:
        _work(options, fns.env_fns, channel)
    except ChannelClosed:
        pass  # the caller is gone; envs were closed on the way
    finally:
        channel.close()


def _work(options: WorkerOptions, fns: Sequence[Callable[[], Any]], channel: Channel) -> None:
    try:
        built = make_envs(fns, options.first_env)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        env_id = error.envring_env_id  # type: ignore[attr-defined]
        channel.send(("failed", env_id, *describe_error(error, dumps)))
        return
    envs = make_slice(built, options.first_env, options.autoreset_mode)
    try:
        channel.send(("ready", describe(built)))
        _serve(options, envs, channel)
    finally:
        envs.close_unasked()


def _serve(options: WorkerOptions, envs: EnvSlice, channel: Channel) -> None:
    message = channel.receive(on_slice=_leave_if_cut)
    if message[0] != "attach":
        return
    _, spec, plans = message
    envs.first_env = plans["first_env"]
    if "lost" in plans:
        envs.take_place(plans["lost"], pickle.loads)
    mapped = segment.attach(channel.receive_fd(timeout=60.0), spec)
    loop = attach_slice(envs, mapped, plans, options.compiled)
    port = _core.WorkerPort(
        mapped.core,
        options.index,
        envs.first_env,
        envs.num_envs,
        options.spin,
        options.adaptive,
        options.yield_every,
    )
    commands = CommandLoop(
        envs,
        port,
        receive=lambda: channel.receive(on_slice=_leave_if_cut),
        dumps=dumps,
        gone=_core.lifeline_cut,
        loop=loop,
        every=plans.get("every"),
    )
    commands.add_templates(plans.get("templates", ()))
    channel.send(("attached",))
    try:
        commands.run()
    except Retired as leaving:
        channel.send(("retired", leaving.ends))


def _leave_if_cut() -> None:
    if _core.lifeline_cut():
        raise ChannelClosed("the caller's process is gone")
