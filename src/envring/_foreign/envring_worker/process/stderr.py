# SPDX-License-Identifier: MIT
"""Forwards what a foreign worker and its envs write to stderr and stdout, and keeps the last of it.

The caller has made descriptor 2 the write end of a pipe. A thread forwards its bytes and keeps the
last of them in a memfd, which the caller reads when the worker has died. The thread runs in the
native library, outside of the interpreter, or in Python where that does not load. The memfd holds a
head, the last bytes (a ring of TAIL_BYTES), incoming bytes (zeros, except between reading and
keeping them), and the stacks that the caller asks for; see csrc/er_stderr.h.
"""

from __future__ import absolute_import, division, print_function

import fcntl
import io
import os
import signal
import struct
import sys
import threading

from .apart import run_apart
from .mapping import map_file
from .stream import retried

TAIL_BYTES = 1 << 14
_HEAD = struct.Struct("<QII")  # bytes so far; of the incoming ones: kept, forwarded
_INCOMING = _HEAD.size + TAIL_BYTES
_INCOMING_BYTES = 1 << 16
_STACK = _INCOMING + _INCOMING_BYTES
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20


def _keep(shared, data):
    """Adds bytes to those kept."""
    count = _HEAD.unpack(shared[: _HEAD.size])[0]
    kept = data[-TAIL_BYTES:]
    at = (count + len(data) - len(kept)) % TAIL_BYTES
    first = kept[: TAIL_BYTES - at]
    rest = kept[len(first) :]
    shared[_HEAD.size + at : _HEAD.size + at + len(first)] = first
    shared[_HEAD.size : _HEAD.size + len(rest)] = rest
    shared[: _HEAD.size] = _HEAD.pack(count + len(data), len(data), 0)


def capture(library, read_fd, tail_fd, pass_on_fd):
    """Starts the thread.

    Args:
        library: the native library, or None.
        read_fd: read end of the pipe.
        tail_fd: the memfd.
        pass_on_fd: where to forward the bytes, -1 for nowhere.
    """
    _write_stacks_to(tail_fd)
    if library is not None:
        fds = [fd for fd in (read_fd, pass_on_fd, tail_fd) if fd >= 0]
        arguments = (library.capture_stderr, read_fd, pass_on_fd, tail_fd)
        run_apart(library, "envring-stderr", fds, *arguments)
        return
    try:
        # C code that prints while it holds the GIL would block the thread when the pipe is full.
        fcntl.fcntl(2, _F_SETPIPE_SZ, _PIPE_BYTES)
    except (OSError, IOError):
        pass  # the kernel limits the size for this user
    shared = map_file(tail_fd, os.fstat(tail_fd).st_size)
    thread = threading.Thread(
        target=_run, args=(_reader(read_fd, shared), shared, pass_on_fd), name="envring-stderr"
    )
    thread.daemon = True
    thread.start()


def _write_stacks_to(tail_fd):
    """Has a signal write the stacks of all threads, whatever they do, where Python can do so."""
    number = getattr(signal, "SIGRTMAX", 0) - 2
    try:
        import faulthandler  # novm

        register = faulthandler.register
    except (ImportError, AttributeError):
        return  # Python 2 has none
    for least in (1001, 200, 3):  # a number that an env is not likely to close
        try:
            fd = fcntl.fcntl(tail_fd, fcntl.F_DUPFD, least)
            break
        except (OSError, IOError):
            continue
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    os.lseek(fd, _STACK, os.SEEK_SET)
    try:
        register(number, file=fd, all_threads=True, chain=False)
    except (OSError, RuntimeError, ValueError):
        os.close(fd)


def _run(read, shared, pass_on_fd):
    try:
        while True:
            count = read()
            if not count:
                return
            data = shared[_INCOMING : _INCOMING + count]
            _keep(shared, data)
            if pass_on_fd >= 0:
                _pass_on(data, pass_on_fd)
            shared[_INCOMING : _INCOMING + count] = b"\0" * count
            shared[8 : _HEAD.size] = b"\0" * 8
    except:  # noqa: E722
        # When Python 2 exits, globals become None, Exception included, while threads still run.
        if None not in (_HEAD, _INCOMING, _keep, _pass_on):
            raise


def _reader(fd, shared):
    """Returns a function that reads incoming bytes into the shared memory and returns their count.

    Where possible the kernel writes them there directly, so that a killed worker loses none.
    """
    readv = getattr(os, "readv", None)
    if readv is not None:
        incoming = memoryview(shared)[_INCOMING:_STACK]
        return lambda: retried(readv, fd, [incoming])
    size = _INCOMING_BYTES
    try:
        import ctypes

        buffer = (ctypes.c_char * size).from_buffer(shared, _INCOMING)
        file = io.FileIO(fd, "r", closefd=False)
        return lambda: retried(file.readinto, buffer)
    except (ImportError, TypeError, ValueError):
        pass

    def read():
        data = retried(os.read, fd, size)
        shared[_INCOMING : _INCOMING + len(data)] = data
        return len(data)

    return read


def _pass_on(data, fd):
    while data:
        try:
            data = data[retried(os.write, fd, data) :]
        except OSError:
            return  # nobody reads the caller's stderr, which must not affect the env


class _Utf8File(object):
    """A Python 2 file that accepts any text, as a terminal does and a pipe does not."""

    def __init__(self, file):
        self._file = file

    def write(self, data):
        self._file.write(data.encode("utf-8") if isinstance(data, type(u"")) else data)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self._file, name)


def open_streams():
    """Replaces sys.stdout and sys.stderr, so that no print fails in any locale."""
    if sys.version_info[0] == 2:
        sys.stdout, sys.stderr = _Utf8File(sys.stdout), _Utf8File(sys.stderr)
        return
    for fd, name in ((1, "stdout"), (2, "stderr")):
        raw = io.FileIO(fd, "w", closefd=False)
        stream = io.TextIOWrapper(raw, "utf-8", "backslashreplace", None, True, True)
        setattr(sys, name, stream)
