# SPDX-License-Identifier: MIT
"""Workers in another interpreter: started by path, spoken to in plain data.

The worker's stdin and stdout are one socket. Before its first message the worker writes `MAGIC`,
because wrappers and start-up files may print before it. Nothing that comes from there is unpickled.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from envring._version import __version__
from envring.core import _core
from envring.errors import (
    CodecError,
    EnvFnError,
    EnvringError,
    HandshakeError,
    InterpreterError,
    LaunchError,
    LayoutMismatch,
    RemoteEnvError,
    RemoteTraceback,
    SourceError,
    SpaceDataError,
    format_env_ids,
    how_ended,
)
from envring.launchers.base import Launch, Launcher, Needs
from envring.launchers.sources import EnvSource
from envring.transport.advice import advise_process_each
from envring.transport.channel import DATA, DATA_OF_PYTHON_2, Channel, ChannelClosed
from envring.transport.codec import has_name, matchable
from envring.transport.forked import own, starting
from envring.workers.foreign_process import ForeignProcess
from envring.workers.handle import WorkerHandle
from envring.workers.json_spaces import described
from envring.workers.lifeline import GRACE, LIBRARY, Lifeline
from envring.workers.options import WorkerOptions
from envring.workers.stderr import StderrPipe

MAGIC = b"\0envring-worker 1\n"
HANDSHAKE_TIMEOUT = 60.0  # seconds: an interpreter's start, before any env is imported

_HOME = Path(__file__).resolve().parent.parent / "_foreign"
_NOISE_LINES = 20

_KINDS: dict[str, type[EnvringError]] = {
    "version": InterpreterError,
    "numpy": InterpreterError,
    "library": LayoutMismatch,
    "setup": SourceError,
    "import": SourceError,
    "unknown-id": SourceError,
    "kwargs": SourceError,
    "space": SpaceDataError,
    "env": RemoteEnvError,
    "same-env": EnvFnError,
}


class ForeignWorker(WorkerHandle):
    """A worker in another interpreter.

    Attributes:
        launch: how it was started.
        facts: version, implementation and paths of its interpreter.
    """

    def __init__(
        self,
        env_ids: Sequence[int],
        process: ForeignProcess,
        channel: Channel,
        errors: StderrPipe,
        launch: Launch,
        argv: Sequence[str],
    ) -> None:
        """Takes over a process that was just started."""
        super().__init__(env_ids, process, channel, errors, foreign=True)
        self.launch = launch
        self._built = tuple(env_ids)  # by their functions: those of vector envs get others
        if launch.stop_argv is not None:
            self.reaping = 10.0  # a container is taken away before the command ends
        self.facts: dict[str, Any] = {}
        self._argv = tuple(argv)

    def _about(self, what: str) -> str:
        """A message with everything that helps to see why a worker did not start."""
        text = (
            f"{what}\nThis is the worker of {format_env_ids(self.env_ids)} in "
            f"{self.launch.description}.\nCommand: {shlex.join(self._argv)}"
        )
        if self.facts:
            text += (
                f"\nInterpreter: {self.facts.get('implementation')} {self.facts.get('version')}"
                f", {self.facts.get('executable')}"
            )
        if self.wait_until_dead(1.0):
            tail = self.errors.drain()
            if tail:
                text += f"\nThe end of its stderr:\n{tail}"
        return text

    def greet(self, timeout: float | None, look: Callable[[], None] | None = None) -> None:
        """Waits for its first message. `look` is called now and then; what it raises ends that.

        Raises:
            HandshakeError: it ended, was silent, or said something else.
        """
        limit = HANDSHAKE_TIMEOUT if timeout is None else min(timeout, HANDSHAKE_TIMEOUT)
        deadline = time.monotonic() + limit
        failure = None

        def on_slice() -> None:
            if look is not None:
                look()
            self.look_before_hello()

        try:
            noise = self.channel.skip_to(MAGIC, limit, on_slice)
            left = max(deadline - time.monotonic(), 0.0)
            message = self.channel.receive(left, on_slice)
            if has_name(message) and message[0] == "failed":
                failure = self._failure(message)
            elif not (
                has_name(message)
                and len(message) == 2
                and message[0] == "hello"
                and isinstance(message[1], dict)
            ):
                raise CodecError(f"its first message is {message!r:.200}")
        except ChannelClosed:
            self.wait_until_dead(1.0)
            code = self.process.exitcode
            if code is not None and code < 0:
                what = f"The worker {how_ended(None, -code)}, before it said anything."
            else:
                how = "closed its output" if code is None else how_ended(code, None)
                what = f"The worker {how} before it said anything. Is it a Python?"
            raise HandshakeError(self._about(what)) from None
        except TimeoutError:
            raise HandshakeError(
                self._about(
                    f"The worker said nothing within {limit:.3g} seconds. Raise start_timeout if "
                    "its interpreter needs longer to start."
                )
            ) from None
        except (HandshakeError, CodecError) as error:
            raise HandshakeError(
                self._about(f"What was started does not speak as a worker does: {error}.")
            ) from error
        if failure is not None:
            raise failure
        self.facts = facts = message[1]
        if noise:
            lines = noise.decode("utf-8", "replace").splitlines()[-_NOISE_LINES:]
            self.errors.pass_on("\n".join(lines).encode() + b"\n")
        if facts.get("python2") is True:
            self.channel.wire = DATA_OF_PYTHON_2

    def wait_until_left(self, timeout: float) -> bool:
        """As in WorkerHandle: the process known here may be a layer around the worker.

        The kernel ends what is inside then, but not at once: the worker's channel tells.
        """
        poll = select.poll()
        poll.register(self.channel.sock.fileno(), 0)  # POLLHUP, without being asked for it
        return bool(poll.poll(timeout * 1000))

    def look_before_hello(self) -> None:
        """Passes on what start-up files write to stderr: a pipe holds little.

        Raises:
            ChannelClosed: it has ended.
        """
        self.errors.take_early()
        if self.is_dead():
            raise ChannelClosed

    def check(self, message: Any, name: str) -> tuple[Any, ...]:
        """A message of its start, which has to be of that name.

        Raises:
            LaunchError: it reports a failure, or sends something else.
        """
        if not (isinstance(message, tuple) and has_name(message)):
            raise HandshakeError(self._about(f"The worker said {message!r:.200}."))
        if message[0] == "failed":
            raise self._failure(message)
        if message[0] != name or len(message) != (2 if name == "ready" else 1):
            raise HandshakeError(
                self._about(f"The worker said {message!r:.200} where {name!r} was expected.")
            )
        if name == "ready":
            if isinstance(message[1], dict) and "spaces_json" in message[1]:
                return ("ready", {**described(message[1], len(self._built)), "foreign": True})
            if not self._describes(message[1]):
                raise HandshakeError(self._about(f"The worker said of its envs {message!r:.200}."))
            message[1]["foreign"] = True
        return message

    def _describes(self, description: Any) -> bool:
        """Whether it tells which space each env has; the spaces themselves are checked later."""
        if not isinstance(description, dict) or type(description.get("native")) is not bool:
            return False
        count, vectors = len(self._built), description.get("vectors")
        if vectors is not None:
            if not is_list_of_vectors(vectors) or len(vectors) != count:
                return False
            count = sum(rows for rows, _ in vectors)
        for name in ("observation_spaces", "action_spaces"):
            match matchable(description.get(name)):
                case (list() as kinds, list() as which) if len(which) == count:
                    if not all(type(kind) is int and 0 <= kind < len(kinds) for kind in which):
                        return False
                case _:
                    return False
        return True

    def mapped_path(self, path: str | None) -> str | None:
        """The path of the segment's file there; None if it inherited the descriptor."""
        if path is None or self.launch.shares_fds:
            return None
        return self.launch.map_path(path)

    def data_of(self, sources: Sequence[EnvSource | None]) -> list[Any]:
        """Sources as it is sent them, None where there is none."""
        return [source and source.data(self.launch.map_path) for source in sources]

    def _failure(self, message: Sequence[Any]) -> EnvringError:
        """The error for a "failed" message: (_, env_id, kind, text, trace)."""
        try:
            _, env_id, kind, text, trace = message
            ours = env_id in self._built
        except (TypeError, ValueError):
            return HandshakeError(self._about(f"The worker said {message!r:.200}."))
        what = f"Env {env_id} could not be built: {text}" if ours else str(text)
        error = _KINDS.get(kind if isinstance(kind, str) else "", LaunchError)(self._about(what))
        if trace:
            error.__cause__ = RemoteTraceback(str(trace))
        if ours and kind == "env":
            advise_process_each(error, env_id, self._built[0])
        return error


def is_list_of_vectors(value: Any) -> bool:
    """Whether it says of each vector env how many envs it has, and its autoreset mode or None."""
    return isinstance(value, list) and all(
        isinstance(each, tuple)
        and len(each) == 2
        and type(each[0]) is int
        and each[0] > 0
        and isinstance(each[1], str | None)
        for each in value
    )


def prepare(
    launcher: Launcher,
    sources: Sequence[EnvSource],
    environ: dict[str, str | None],
    segment_path: str | None,
) -> Launch:
    """Has a launcher say how to start a worker for these envs; may build its prefix.

    Raises:
        LaunchError: it cannot be done; the type says why.
    """
    files = dict.fromkeys([str(_HOME), *(file for source in sources for file in source.files)])
    return launcher.prepare(Needs(tuple(files), segment_path, environ))


def start(
    launch: Launch,
    name: str,
    options: WorkerOptions,
    sources: Sequence[EnvSource],
    lifeline: Lifeline,
    segment_fd: int,
) -> ForeignWorker:
    """Starts one worker and tells it what to build.

    Args:
        launch: how.
        name: of the process, for people.
        options: how it is to run.
        sources: its envs.
        lifeline: the pipe that tells it when this process ends.
        segment_fd: of the file in which the segment is, or will be.

    Raises:
        InterpreterError: the program does not exist or cannot be run.
    """
    env_ids = range(options.first_env, options.first_env + len(sources))
    with starting:
        ours, theirs = Channel.pair(DATA)
        own(ours)
        errors = StderrPipe()
        own(errors)
        argv = [*launch.argv, launch.map_path(str(_HOME / "worker.py"))]
        passed_to = -1
        try:
            pass_fds = [lifeline.read_end]
            stderr = None
            if launch.shares_fds:
                with contextlib.suppress(OSError):  # the caller's stderr may be closed
                    passed_to = os.dup(2)
                pass_fds += [errors.read_end, errors.tail_fd, segment_fd]
                if passed_to >= 0:
                    pass_fds.append(passed_to)
                stderr = {"read": errors.read_end, "tail": errors.tail_fd, "pass_on": passed_to}
            popen = subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors.write_end,
                env=launch.environ,
                cwd=launch.cwd,
                pass_fds=pass_fds if launch.shares_fds else (),
                # Ctrl-C is the caller's to hear, and what the worker starts can be ended with it.
                process_group=None if launch.own_session else 0,
                start_new_session=launch.own_session,
            )
        except OSError as error:
            ours.close()
            errors.close()
            raise InterpreterError(
                f"{_why_not(error)}\nThis is the worker of {format_env_ids(env_ids)} in "
                f"{launch.description}.\nCommand: {shlex.join(argv)}"
            ) from error
        finally:
            theirs.close()
            if passed_to >= 0:
                os.close(passed_to)
        errors.started()
    worker = ForeignWorker(env_ids, ForeignProcess(popen, name, launch), ours, errors, launch, argv)
    if not launch.shares_fds:
        errors.relay()
    config = {
        "version": __version__,
        "abi": _core.ABI,
        "library": launch.map_path(str(LIBRARY)) if LIBRARY.exists() else None,
        "index": options.index,
        "first_env": options.first_env,
        "num_envs": len(sources),
        "autoreset_mode": options.autoreset_mode,
        "on_unsendable": options.on_unsendable,
        "sources": [source.data(launch.map_path) for source in sources],
        "compiled": options.compiled,
        "spin": options.spin,
        "adaptive": options.adaptive,
        "yield_every": options.yield_every,
        "cpu": options.cpu,
        "caller": os.getpid(),
        "lifeline_fd": lifeline.read_end if launch.shares_fds else -1,
        "grace": GRACE,
        "stderr": stderr,
    }
    try:
        # It reads this once it has started; if it never does, `greet` raises.
        with contextlib.suppress(ChannelClosed):
            ours.send(("start", config), on_slice=_give_up_if(worker))
    except BaseException:  # arguments that cannot be sent: nobody else knows this worker
        worker.stop(time.monotonic())
        worker.release()
        raise
    return worker


def _give_up_if(worker: ForeignWorker) -> Callable[[], None]:
    deadline = time.monotonic() + HANDSHAKE_TIMEOUT

    def look() -> None:
        if worker.is_dead() or time.monotonic() > deadline:
            raise ChannelClosed

    return look


def _why_not(error: OSError) -> str:
    what = f"{error.filename or 'the program'}"
    if error.errno == errno.ENOENT:
        return f"There is no program {what}."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{what} may not be executed ({error.strerror})."
    if error.errno == errno.ENOEXEC:
        return f"{what} is not a program for this machine ({os.uname().machine})."
    return f"{what} could not be started: {error}."
