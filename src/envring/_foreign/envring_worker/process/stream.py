# SPDX-License-Identifier: MIT
"""A worker's end of the channel to its caller: frames over two descriptors.

A frame is its length (8 bytes, little endian) and its bytes: a packed value (see data/codec.py).
"""

from __future__ import absolute_import, division, print_function

import errno
import os
import select
import struct
import time

_HEAD = struct.Struct("<Q")
_PIECE = 1 << 20  # bytes to read at once
_JOINED = 1 << 16  # up to this size, bytes are copied to save a system call

_now = getattr(time, "monotonic", time.time)


class StreamClosed(EOFError):
    """The caller is gone."""


def retried(call, *args):
    """Calls a function, again if a signal interrupts it, which Python 2 does not do."""
    while True:
        try:
            return call(*args)
        except (OSError, IOError, select.error) as error:
            if error.args[0] != errno.EINTR:
                raise


def wait_for(fd, events, timeout):
    """Waits for one of the events; returns whether it came within the timeout.

    A closed other end counts as an event.

    Args:
        fd: the descriptor.
        events: as for `select.poll`.
        timeout: seconds, None to wait for ever.
    """
    poll = select.poll()
    poll.register(fd, events)
    deadline = None if timeout is None else _now() + timeout
    while True:
        left = None if deadline is None else max(deadline - _now(), 0.0)
        try:
            return bool(poll.poll(None if left is None else int(left * 1000 + 0.999)))
        except (OSError, IOError, select.error) as error:
            if error.args[0] != errno.EINTR:
                raise


class Stream(object):
    """Frames to and from the caller.

    Args:
        incoming: descriptor to read from.
        outgoing: descriptor to write to; both may refer to the same socket.
    """

    def __init__(self, incoming, outgoing):
        self.incoming = incoming
        self.outgoing = outgoing

    def send(self, data):
        """Sends a frame of these bytes.

        Raises:
            StreamClosed: the caller is gone.
        """
        head = _HEAD.pack(len(data))
        if len(data) <= _JOINED:
            self._write(head + data)
        else:
            self._write(head)
            self._write(data)

    def receive(self, timeout=None):
        """Returns the next frame's bytes, or None if none began within `timeout` seconds.

        Raises:
            StreamClosed: the caller is gone.
        """
        if timeout is not None and not wait_for(self.incoming, select.POLLIN, timeout):
            return None
        (length,) = _HEAD.unpack(self._read(_HEAD.size))
        return self._read(length)

    def _write(self, data):
        view = memoryview(data)
        while len(view):
            try:
                view = view[retried(os.write, self.outgoing, view) :]
            except (OSError, IOError) as error:
                self._wait_or_close(error, self.outgoing, select.POLLOUT)

    def _read(self, count):
        pieces, left = [], count
        while left:
            try:
                piece = retried(os.read, self.incoming, min(left, _PIECE))
            except (OSError, IOError) as error:
                self._wait_or_close(error, self.incoming, select.POLLIN)
                continue
            if not piece:
                raise StreamClosed("the caller closed the channel")
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _wait_or_close(self, error, fd, events):
        # the file may be shared with a process that made it non-blocking
        if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK):
            raise StreamClosed(str(error))
        wait_for(fd, events, None)
