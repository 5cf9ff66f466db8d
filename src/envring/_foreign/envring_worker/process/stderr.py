# SPDX-License-Identifier: MIT
"""What a foreign worker and its envs write to stderr (and stdout) goes on, and its end is kept.

The caller has made descriptor 2 the write end of a pipe. A thread passes on what comes and keeps
the last bytes in a memfd, which the caller reads after a death. The memfd: number of bytes so far
(8), the last of them (a ring of TAIL_BYTES), incoming bytes (zeros but between a read and their
being kept), just as envring.workers.stderr has it.
"""

from __future__ import absolute_import, division, print_function

import fcntl
import io
import os
import struct
import sys
import threading

from .mapping import map_file
from .stream import retried

TAIL_BYTES = 1 << 14
_HEAD = struct.Struct("<Q")
_INCOMING = _HEAD.size + TAIL_BYTES
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20


def _keep(shared, data):
    """Adds bytes to the last ones."""
    (count,) = _HEAD.unpack(shared[: _HEAD.size])  # the caller may have added some
    kept = data[-TAIL_BYTES:]
    at = (count + len(data) - len(kept)) % TAIL_BYTES
    first = kept[: TAIL_BYTES - at]
    rest = kept[len(first) :]
    shared[_HEAD.size + at : _HEAD.size + at + len(first)] = first
    shared[_HEAD.size : _HEAD.size + len(rest)] = rest
    shared[: _HEAD.size] = _HEAD.pack(count + len(data))


def capture(read_fd, tail_fd, pass_on_fd):
    """Starts the thread; pass_on_fd -1 passes nothing on."""
    try:
        # C code that prints while it holds the interpreter's lock cannot wait for the thread.
        fcntl.fcntl(2, _F_SETPIPE_SZ, _PIPE_BYTES)
    except (OSError, IOError):
        pass  # so many bytes are not granted to everybody
    shared = map_file(tail_fd, os.fstat(tail_fd).st_size)
    thread = threading.Thread(
        target=_run, args=(_reader(read_fd, shared), shared, pass_on_fd), name="envring-stderr"
    )
    thread.daemon = True
    thread.start()


def _run(read, shared, pass_on_fd):
    try:
        while True:
            count = read()
            if not count:
                return
            data = shared[_INCOMING : _INCOMING + count]
            _keep(shared, data)
            shared[_INCOMING : _INCOMING + count] = b"\0" * count
            if pass_on_fd >= 0:
                _pass_on(data, pass_on_fd)
    except:  # noqa: E722
        # When Python 2 ends names become None, Exception among them, while threads still run.
        if None not in (_HEAD, _INCOMING, _keep, _pass_on):
            raise


def _reader(fd, shared):
    """A function that moves what comes into the shared memory and says how much that was.

    The kernel puts it there where it can, so that a worker killed in between loses nothing.
    """
    readv = getattr(os, "readv", None)
    if readv is not None:
        incoming = memoryview(shared)[_INCOMING:]
        return lambda: retried(readv, fd, [incoming])
    size = len(shared) - _INCOMING
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
            return  # nobody reads the caller's stderr: not the env's trouble


class _Utf8File(object):
    """A file of Python 2 that takes any text: env authors print for a terminal, this is a pipe."""

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
    """Gives sys.stdout and sys.stderr a form that no print fails at, whatever the locale says."""
    if sys.version_info[0] == 2:
        sys.stdout, sys.stderr = _Utf8File(sys.stdout), _Utf8File(sys.stderr)
        return
    for fd, name in ((1, "stdout"), (2, "stderr")):
        raw = io.FileIO(fd, "w", closefd=False)
        stream = io.TextIOWrapper(raw, "utf-8", "backslashreplace", None, True, True)
        setattr(sys, name, stream)
