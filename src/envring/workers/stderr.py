# SPDX-License-Identifier: MIT
"""A worker's stderr: it is passed on to the caller's, and its end is kept.

The worker's file descriptor 2 becomes a pipe. A thread of the worker passes on what comes and keeps
the last bytes in a memfd that the caller can read after a death. The caller holds the pipe's read
end too, for what the thread had no time to take; and what the thread took but did not get to keep
lies in the memfd as well, because the kernel puts it there.

The memfd: number of bytes so far (8), the last of them (TAIL_BYTES, a ring), incoming bytes (zeros
but between a read and their being kept).
"""

from __future__ import annotations

import io
import mmap
import os
import struct
import sys
import threading
import time

from envring.transport.polling import readable
from envring.transport.sealing import make_sealed_file

TAIL_BYTES = 1 << 14
_HEAD = struct.Struct("<Q")
_INCOMING = _HEAD.size + TAIL_BYTES
_INCOMING_BYTES = 1 << 16
_MOST = (1 << 62) - 1
_DRAIN_SECONDS = 1.0
_SHOWN_LINES = 150  # what faulthandler says of a crash under fork can be that long


class Tail:
    """The last bytes of a stream, in a file that several processes share. One writer at a time."""

    def __init__(self, fd: int) -> None:
        """Uses the file, which is not taken over."""
        self.fd = fd
        (count,) = _HEAD.unpack(os.pread(fd, _HEAD.size, 0))
        self._count = count & _MOST  # an env may have written anything there

    def append(self, data: bytes) -> None:
        """Adds bytes."""
        kept = data[-TAIL_BYTES:]
        start = self._count + len(data) - len(kept)
        at = start % TAIL_BYTES
        first = kept[: TAIL_BYTES - at]
        os.pwrite(self.fd, first, _HEAD.size + at)
        if len(first) < len(kept):
            os.pwrite(self.fd, kept[len(first) :], _HEAD.size)
        self._count += len(data)
        os.pwrite(self.fd, _HEAD.pack(self._count), 0)

    def text(self) -> str:
        """The last lines."""
        data = os.pread(self.fd, min(self._count, TAIL_BYTES), _HEAD.size)
        if self._count > TAIL_BYTES:
            at = self._count % TAIL_BYTES
            data = data[at:] + data[:at]
        lines = data.decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-_SHOWN_LINES:])


class StderrPipe:
    """The caller's side of one worker's stderr."""

    def __init__(self) -> None:
        """Makes pipe and memfd."""
        self.read_end, self.write_end = os.pipe()
        self.tail_fd = make_sealed_file("envring-stderr", _INCOMING + _INCOMING_BYTES)
        self._relay: threading.Thread | None = None

    def started(self) -> None:
        """Closes the write end: the worker has its copy, and only that may keep the pipe open."""
        os.close(self.write_end)
        self.write_end = -1

    def relay(self) -> None:
        """Has a thread here pass on what comes, for a worker that this pipe's ends do not reach."""
        self._relay = threading.Thread(target=self._run_relay, name="envring-stderr", daemon=True)
        self._relay.start()

    def _run_relay(self) -> None:
        tail = Tail(self.tail_fd)
        while data := os.read(self.read_end, 1 << 16):
            tail.append(data)
            _pass_on(data)

    def pass_on(self, data: bytes) -> None:
        """Shows what the worker said elsewhere, and keeps it."""
        Tail(self.tail_fd).append(data)
        _pass_on(data)

    def drain(self) -> str:
        """After the worker's death: passes on what is left and returns the last lines."""
        tail = Tail(self.tail_fd)
        if self._relay is not None:
            self._relay.join(1.0)
            return Tail(self.tail_fd).text()
        taken = os.pread(self.tail_fd, _INCOMING_BYTES, _INCOMING).rstrip(b"\0")
        if taken:
            os.pwrite(self.tail_fd, bytes(len(taken)), _INCOMING)
            tail.append(taken)
            _pass_on(taken)
        os.set_blocking(self.read_end, False)
        deadline = time.monotonic() + _DRAIN_SECONDS  # a grandchild may write on without end
        while readable([self.read_end], 0) and time.monotonic() < deadline:
            try:
                data = os.read(self.read_end, 1 << 16)
            except BlockingIOError:
                break
            if not data:
                break
            tail.append(data)
            _pass_on(data)
        return tail.text()

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


def _pass_on(data: bytes, fd: int = 2) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError:
            return  # the caller's stderr is closed: that must not disturb the env


def capture(read_end: int, write_end: int, tail_fd: int) -> None:
    """In the worker: puts the pipe in the place of stderr and starts passing on."""
    passed_to = os.dup(2)
    os.set_inheritable(passed_to, False)
    os.dup2(write_end, 2)
    os.close(write_end)
    tail = Tail(tail_fd)

    incoming = memoryview(mmap.mmap(tail_fd, 0))[_INCOMING:]

    def run() -> None:
        while True:
            try:
                count = os.readv(read_end, [incoming])
            except OSError:
                return
            if not count:
                return
            data = bytes(incoming[:count])
            tail.append(data)
            incoming[:count] = bytes(count)
            _pass_on(data, passed_to)

    threading.Thread(target=run, name="envring-stderr", daemon=True).start()
    # A caller's replaced sys.stderr (a notebook's, a test runner's) would bypass the pipe.
    sys.stderr = io.TextIOWrapper(
        io.FileIO(2, "w", closefd=False),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )
