# SPDX-License-Identifier: MIT
"""The least caller that a worker process can have: one worker, one box, one discrete action.

Where the worker's first env is not env 0, the caller itself is the worker of those before.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from envring.core import _core
from envring.transport import codec
from envring.workers.stderr import StderrPipe

FOREIGN = Path(_core.__file__).parents[1] / "_foreign"
LIBRARY = str(FOREIGN / "libenvring.so")
ENVS = str(Path(__file__).parent / "plain_envs.py")
MAGIC = b"\0envring-worker 1\n"
NEVER = 2**62
SECONDS = 30.0

_HEAD = struct.Struct("<Q")
_LINE = 128


def source(name: str, **kwargs: Any) -> dict[str, Any]:
    """An env of plain_envs.py as data."""
    return {
        "env": f"{ENVS}:{name}",
        "args": [],
        "kwargs": kwargs,
        "imports": [],
        "setup": None,
        "portal": False,
    }


class Gone(EOFError):
    """The worker closed the channel."""


class Caller:
    """Starts a worker and speaks with it.

    Args:
        python: the interpreter.
        sources: envs.
        argv: what stands between the interpreter and worker.py.
        environ: variables beside PATH.
        pipes: two pipes for the channel, as containers have it, and nothing inherited.
        captures: whether its stderr goes through a pipe that it reads itself.
        first_env: number of its first env.
        home: where worker.py is.
        config: overrides of the start message.
    """

    def __init__(
        self,
        python: str,
        sources: Sequence[dict[str, Any]],
        *,
        argv: Sequence[str] = ("-s", "-u"),
        environ: dict[str, str] | None = None,
        pipes: bool = False,
        captures: bool = True,
        first_env: int = 0,
        home: Path = FOREIGN,
        **config: Any,
    ) -> None:
        self.stack = ExitStack()
        self.first_env, self.count = first_env, len(sources)
        self.num_envs = first_env + self.count
        self.python2 = False
        self.noise = b""
        self.facts: dict[str, Any] = {}
        self.segment: Any = None
        if pipes:
            theirs_in, ours_out = os.pipe()
            ours_in, theirs_out = os.pipe()
        else:
            ours, theirs = socket.socketpair()
            ours_in = ours.detach()
            ours_out = os.dup(ours_in)
            theirs_in = theirs.detach()
            theirs_out = os.dup(theirs_in)
        self.incoming, self.outgoing = ours_in, ours_out
        lifeline_read, self.lifeline = os.pipe()
        self.memfd = os.memfd_create("envring-test", os.MFD_CLOEXEC)
        self.errors = StderrPipe()
        shown, self.shown = os.pipe()  # what the worker passes on, instead of a terminal
        inherited = [] if pipes else [lifeline_read, self.memfd]
        stderr = None
        if captures:
            stderr = {"read": self.errors.read_end, "tail": self.errors.tail_fd, "pass_on": shown}
            stderr["pass_on"], self.shown = self.shown, shown
            inherited += stderr.values()
        self.process = subprocess.Popen(
            [python, *argv, str(home / "worker.py")],
            stdin=theirs_in,
            stdout=theirs_out,
            stderr=self.errors.write_end,
            env={"PATH": os.environ["PATH"], **(environ or {})},
            pass_fds=inherited,
            start_new_session=True,
        )
        for fd in (theirs_in, theirs_out, lifeline_read):
            os.close(fd)
        if captures:
            os.close(stderr["pass_on"])
        else:
            os.close(self.shown)
            self.shown = shown
        self.errors.started()
        self.config = {
            "version": "0",
            "abi": _core.ABI,
            "library": LIBRARY,
            "index": int(first_env > 0),
            "first_env": first_env,
            "num_envs": self.count,
            "autoreset_mode": 0,
            "sources": list(sources),
            "compiled": True,
            "spin": 1e-4,
            "adaptive": True,
            "yield_every": 4,
            "on_unsendable": "raise",
            "cpu": None,
            "caller": os.getpid(),
            "lifeline_fd": -1 if pipes else lifeline_read,
            "grace": 1.0,
            "stderr": stderr,
            **config,
        }

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- frames -----------------------------------------------------------------------------

    def send(self, *message: Any) -> None:
        data = codec.dumps(message)
        self.write(_HEAD.pack(len(data)) + data)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.outgoing, view) :]

    def read(self, count: int, seconds: float = SECONDS) -> bytes:
        data = b""
        until = time.monotonic() + seconds
        while len(data) < count:
            left = until - time.monotonic()
            assert select.select([self.incoming], [], [], max(left, 0))[0], "nothing came in time"
            piece = os.read(self.incoming, min(count - len(data), 1 << 20))
            if not piece:
                raise Gone
            data += piece
        return data

    def receive(self, seconds: float = SECONDS) -> Any:
        (length,) = _HEAD.unpack(self.read(_HEAD.size, seconds))
        return codec.loads(self.read(length, seconds), python2=self.python2)

    # -- the handshake ----------------------------------------------------------------------

    def greet(self) -> dict[str, Any]:
        while not self.noise.endswith(MAGIC):
            self.noise += self.read(1)
        self.noise = self.noise[: -len(MAGIC)]
        message = self.receive()
        assert message[0] == "hello", message
        self.facts = message[1]
        self.python2 = self.facts["python2"]
        return self.facts

    def start(self) -> Any:
        """Sends the configuration; what the worker says to it."""
        self.send("start", self.config)
        self.greet()
        return self.receive()

    def ready(self) -> dict[str, Any]:
        message = self.start()
        assert message[0] == "ready", message
        self.native = message[1]["native"]
        return message[1]

    def lay_out(self, path: str | None = None) -> dict[str, Any]:
        """Makes the segment; returns the layout message's."""
        n = self.num_envs

        def padded(nbytes: int) -> int:
            return -(-nbytes // _LINE) * _LINE

        obs = padded(8 * n)
        offsets = [obs, obs + padded(8 * n), obs + padded(8 * n) + padded(n)]
        config = {
            "num_envs": n,
            "num_workers": 1 + (self.first_env > 0),
            "num_slots": 2,
            "command_ring_bytes": 1024,
            "reply_ring_bytes": 1 << 12,
            "action_bytes": padded(8 * n),
            "final_bytes": obs,
            "slot_bytes": offsets[2] + padded(n),
            "info_bytes": 1 << 14,
        }
        total = _core.segment_bytes(**config)
        if path is not None:
            os.close(self.memfd)
            self.memfd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self.memfd, total)
        self.segment = core = _core.Segment(mmap.mmap(self.memfd, total), config)
        self.obs = core.array(core.off_slots, (n, 2), np.float32)
        self.rewards = core.array(core.off_slots + offsets[0], (n,), np.float64)
        self.terminations = core.array(core.off_slots + offsets[1], (n,), np.bool_)
        self.truncations = core.array(core.off_slots + offsets[2], (n,), np.bool_)
        self.actions = core.array(core.off_actions, (n,), np.int64)
        self.final = core.array(core.off_final, (n, 2), np.float32)
        base = core.array(0, (1,), np.uint8).__array_interface__["data"][0]

        def at(array: np.ndarray) -> int:
            return array.__array_interface__["data"][0] - base

        return {
            "fd": -1 if path is not None else self.memfd,
            "path": path,
            "bytes": total,
            "num_envs": n,
            "obs_leaves": [(0, (n, 2), "<f4")],
            "outcomes": list(zip(offsets, [(n,)] * 3, ["<f8", "|b1", "|b1"], strict=True)),
            "final_leaves": [(0, (n, 2), "<f4")],
            "off_slots": core.off_slots,
            "slot_bytes": core.slot_bytes,
            "off_final": core.off_final,
            "off_template_ids": at(core.template_ids()),
            "off_final_marks": at(core.final_marks()),
            "off_infos": core.off_infos,
            "info_bytes": core.info_bytes,
            "off_actions": core.off_actions,
            "action_bytes": config["action_bytes"],
        }

    def attach(
        self,
        layout: dict[str, Any] | None = None,
        obs: tuple[Any, ...] = ("leaf", 0, "<f4", (2,)),
    ) -> Any:
        """Gives the worker its segment and the plan of observations; what it says to it."""
        layout = layout or self.lay_out()
        plans = {"obs": obs, "action": ("leaf", 0, "<i8", ())}
        self.port = _core.CallerPort(self.segment, 1e-4, True, 4, self.segment.num_envs)
        if self.first_env:
            self.others = _core.WorkerPort(self.segment, 0, 0, self.first_env, 0.0, True, 4)
        self.seq = 0
        self.send("attach", layout, plans)
        return self.receive()

    def up(self) -> Caller:
        """All of the handshake."""
        self.ready()
        assert self.attach() == ("attached",)
        return self

    # -- batches ----------------------------------------------------------------------------

    def run(self, op: int, *message: Any, answered: bool = True) -> dict[str, Any] | None:
        """One command, by rings or by frames; the reply, if there is any."""
        self.begin(op, *message, answered=answered)
        return self.finish() if answered else None

    def begin(self, op: int, *message: Any, answered: bool = True, action: int = 0) -> None:
        if not self.native:
            self.seq += 1
            self.send("command", op, self.seq if answered else 0, 0, action)
            if message:
                self.send(*message)
            return
        if message:
            self.port.post_messages(answered)
            self.send(*message)
        else:
            self.port.start_step(0, action)
        if self.first_env:
            _, seq, _, _ = self.others.next(1.0)
            if answered:
                self.others.finish(seq)

    def finish(self, seconds: float = SECONDS) -> dict[str, Any] | None:
        if not self.native:
            name, seq, reply, _ = self.receive(seconds)
            assert (name, seq) == ("done", self.seq)
            if reply is None:
                return None
            # a Python 2 knows no difference between text and bytes
            return self.decode(reply if isinstance(reply, bytes) else reply.encode())
        until = time.monotonic() + seconds
        data = b""
        while (state := self.port.wait(NEVER)) != 0:
            data += self.port.drain(self.config["index"])
            self.port.ring()
            if state == 2:
                assert self.process.poll() is None, self.tail()
            assert time.monotonic() < until, "the batch is not done in time"
        worker = self.config["index"]
        nbytes, _ = self.port.report(worker)
        if not nbytes:
            return None
        data += self.port.drain(worker)
        assert len(data) == nbytes
        return self.decode(data)

    def decode(self, data: bytes) -> Any:
        return codec.loads(data, python2=self.python2)

    def step(self, actions: Sequence[int] | int = 1) -> dict[str, Any] | None:
        self.actions[self.first_env :] = actions
        return self.run(_core.OP_STEP)

    def reset(self, seed: int | None = None) -> dict[str, Any] | None:
        return self.run(_core.OP_MESSAGE, "reset", 0, [seed] * self.count, None, None)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Results of a call; asserts that no env failed."""
        reply = self.run(_core.OP_MESSAGE, "call", name, args, kwargs)
        assert reply is not None and not reply["failures"], reply
        return reply["results"]

    def close_envs(self) -> None:
        assert self.run(_core.OP_MESSAGE, "close") is None

    # -- the end ----------------------------------------------------------------------------

    def wait(self, seconds: float = 10.0) -> int:
        """The worker's exit code."""
        return self.process.wait(seconds)

    def tail(self) -> str:
        """The last words of a worker that has ended."""
        return self.errors.drain()

    def passed_on(self) -> str:
        """What an ended worker's thread passed on to our stderr."""
        data = b""
        while piece := os.read(self.shown, 1 << 16):
            data += piece
        return data.decode()

    def hang_up(self) -> None:
        """As the kernel does when this process dies."""
        for name in ("incoming", "outgoing", "lifeline"):
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)

    def close(self) -> None:
        self.hang_up()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        for fd in (self.memfd, self.shown):
            os.close(fd)
        self.errors.close()
        self.segment = None
        for name in (
            "port",
            "others",
            "obs",
            "rewards",
            "terminations",
            "truncations",
            "actions",
            "final",
        ):
            self.__dict__.pop(name, None)
