# SPDX-License-Identifier: MIT
"""A worker's stderr: it is passed on to the caller's, and its end is kept.

The worker's file descriptor 2 becomes a pipe. A thread of the worker passes on what comes and keeps
the last bytes in a memfd that both processes map. The caller holds the pipe's read end too, for
what the thread had no time to take. `csrc/er_stderr.h` has the format of the memory, but for its
last part: there faulthandler writes the stacks that the caller asks for.
"""

from __future__ import annotations

import faulthandler
import fcntl
import io
import mmap
import os
import signal
import struct
import sys
import threading
import time
from typing import Any

from envring._foreign.envring_worker.process.apart import run_apart
from envring.core import _core
from envring.transport.polling import readable
from envring.transport.sealing import make_sealed_file

TAIL_BYTES = 1 << 14
_HEAD = struct.Struct("<QII")  # bytes so far; of the incoming ones: kept, passed on
_INCOMING = _HEAD.size + TAIL_BYTES
_INCOMING_BYTES = 1 << 16
_STACK = _INCOMING + _INCOMING_BYTES
_STACK_BYTES = 1 << 15
_PAGE = mmap.PAGESIZE
_MOST = (1 << 62) - 1
_DRAIN_SECONDS = 1.0
_DRAIN_BYTES = 1 << 21  # more than a pipe holds
_PATIENCE = 2.0  # seconds for whoever reads this process's stderr to take something
_SHOWN_LINES = 150  # what faulthandler says of a crash under fork can be that long
_QUIET = 0.03  # seconds without another byte: a stack is complete
STACK_SIGNAL = signal.SIGRTMAX - 2


class Tail:
    """The last bytes of a stream, in memory that several processes share. One writer at a time."""

    def __init__(self, memory: Any) -> None:
        """Uses the memory."""
        self.memory = memory
        self._count = _HEAD.unpack_from(memory)[0] & _MOST  # an env may have written anything there

    def append(self, data: bytes) -> None:
        """Adds bytes."""
        kept = data[-TAIL_BYTES:]
        at = _HEAD.size + (self._count + len(data) - len(kept)) % TAIL_BYTES
        first, rest = kept[: _INCOMING - at], kept[_INCOMING - at :]
        self.memory[at : at + len(first)] = first
        self.memory[_HEAD.size : _HEAD.size + len(rest)] = rest
        self._count += len(data)
        struct.pack_into("<Q", self.memory, 0, self._count)

    def text(self) -> str:
        """The last lines."""
        data = bytes(self.memory[_HEAD.size : _HEAD.size + min(self._count, TAIL_BYTES)])
        if self._count > TAIL_BYTES:
            at = self._count % TAIL_BYTES
            data = data[at:] + data[:at]
        lines = data.decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-_SHOWN_LINES:])


def _written(memory: memoryview) -> bytes:
    """What was written at the beginning of memory that was zero; the rest is not touched."""
    parts = []
    for at in range(0, len(memory), _PAGE):
        part = bytes(memory[at : at + _PAGE])
        parts.append(part)
        if not part.strip(b"\0"):
            break
    return b"".join(parts).rstrip(b"\0")


class StderrPipe:
    """The caller's side of one worker's stderr."""

    def __init__(self) -> None:
        """Makes pipe and memfd."""
        self.read_end, self.write_end = os.pipe()
        self.tail_fd = make_sealed_file("envring-stderr", _STACK + _STACK_BYTES)
        self._memory = memoryview(_core.SharedBytes(self.tail_fd, _STACK + _STACK_BYTES))
        self._relay: threading.Thread | None = None
        self._noise = b""
        self._text = ""
        self._closed = False
        self._stack_at = _STACK
        self._listened = True  # whoever reads this process's stderr took what was passed on last

    def started(self) -> None:
        """Closes what the worker has a copy of: only that may keep the pipe open."""
        for name in ("write_end", "tail_fd"):
            os.close(getattr(self, name))
            setattr(self, name, -1)

    def relay(self) -> None:
        """Has a thread here pass on what comes, for a worker that this pipe's ends do not reach."""
        self._relay = threading.Thread(target=self._run_relay, name="envring-stderr", daemon=True)
        self._relay.start()

    def _run_relay(self) -> None:
        tail = Tail(self._memory)
        while data := os.read(self.read_end, 1 << 16):
            tail.append(data)
            self._pass_on(data, _PATIENCE)

    def _pass_on(self, data: bytes | memoryview, patience: float) -> None:
        taken = _core.pass_on(2, data, patience if self._listened else 0.0)
        self._listened = taken == len(data)

    def take_early(self) -> None:
        """Passes on what came before the worker does it itself, lest it waits for room."""
        if self._relay is not None or not readable([self.read_end], 0):
            return
        # The worker may be faster now. Its descriptor is this one, and has to go on blocking.
        fd = os.open(f"/proc/self/fd/{self.read_end}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            while data := os.read(fd, 1 << 16):
                self.pass_on(data)
        except BlockingIOError:
            pass
        finally:
            os.close(fd)

    def pass_on(self, data: bytes) -> None:
        """Shows what the worker said elsewhere, and keeps the end of it as the beginning."""
        self._noise = (self._noise + data)[-TAIL_BYTES:]
        self._pass_on(data, _PATIENCE)

    def drain(self) -> str:
        """After the worker's death: passes on what is left and returns the last lines."""
        if self._relay is not None:
            self._relay.join(1.0)
        elif self.read_end >= 0:
            self._drain()
        if not self._closed:
            self._text = self._noise.decode("utf-8", "replace") + Tail(self._memory).text()
        return self._text

    def _drain(self) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS  # a grandchild may write on without end
        tail = Tail(self._memory)
        _, kept, passed = _HEAD.unpack_from(self._memory)
        area = self._memory[_INCOMING:_STACK]
        incoming = bytes(area[:kept]) if kept else _written(area)
        self._memory[_INCOMING : _INCOMING + len(incoming)] = bytes(len(incoming))
        struct.pack_into("<II", self._memory, 8, 0, 0)
        if not kept:
            tail.append(incoming)
        self._pass_on(incoming[passed:], _DRAIN_SECONDS)
        os.set_blocking(self.read_end, False)
        left = _DRAIN_BYTES
        while left > 0 and readable([self.read_end], 0):
            try:
                data = os.read(self.read_end, 1 << 16)
            except BlockingIOError:
                break
            if not data:
                break
            left -= len(data)
            tail.append(data)
            self._pass_on(data, max(deadline - time.monotonic(), 0.0))
            if time.monotonic() > deadline:
                break

    def wait_for_stack(self, timeout: float) -> str:
        """What faulthandler writes after STACK_SIGNAL was sent, once it is complete."""
        if self._closed:
            return ""
        deadline = time.monotonic() + timeout
        text, since = b"", time.monotonic()
        while (now := time.monotonic()) < deadline:
            new = bytes(self._memory[self._stack_at :]).rstrip(b"\0")
            if new != text:
                text, since = new, now
            elif text and now - since > _QUIET:
                break
            time.sleep(0.002)
        self._stack_at += len(text)
        return text.decode("utf-8", "replace")

    def close(self) -> None:
        """Closes everything."""
        if self._relay is not None:
            self._relay.join(1.0)
            if self._relay.is_alive():
                return  # a process that outlives the worker holds the pipe: the thread reads on
        for name in ("read_end", "write_end", "tail_fd"):
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)
        self._closed = True
        self._memory.release()


def capture(read_end: int, write_end: int, tail_fd: int) -> None:
    """In the worker: puts the pipe in the place of stderr and starts passing on."""
    try:
        passed_to = os.dup(2)
    except OSError:  # the caller has closed its stderr
        passed_to = os.open(os.devnull, os.O_WRONLY)
    os.dup2(write_end, 2)
    os.close(write_end)
    write_stacks_to(tail_fd)
    fds = [read_end, passed_to, tail_fd]
    run_apart(_core, "envring-stderr", fds, _core.capture_stderr, *fds)
    # A caller's replaced sys.stderr (a notebook's, a test runner's) would bypass the pipe.
    sys.stderr = io.TextIOWrapper(
        io.FileIO(2, "w", closefd=False),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )


def write_stacks_to(tail_fd: int) -> None:
    """In the worker: has STACK_SIGNAL write the stacks of all threads, whatever they do."""
    # a number that an env is not likely to close
    for least in (1001, 200, 3):
        try:
            fd = fcntl.fcntl(tail_fd, fcntl.F_DUPFD_CLOEXEC, least)
            break
        except OSError:
            continue
    os.lseek(fd, _STACK, os.SEEK_SET)
    faulthandler.register(STACK_SIGNAL, file=fd, all_threads=True, chain=False)
