# SPDX-License-Identifier: MIT
"""Commands over the channel instead of rings: for interpreters that cannot load the library."""

from __future__ import absolute_import, division, print_function


class RelayPort(object):
    """A worker's port that receives commands and answers by frames; results go to the segment.

    Args:
        stream: the channel.
        pack: turns a value into bytes.
        unpack: turns bytes into a value.
    """

    def __init__(self, stream, pack, unpack):
        self.stream = stream
        self.pack = pack
        self.unpack = unpack
        self._hints = 0

    def next(self, timeout):
        """Returns the next command (op, seq, slot, action), or None after `timeout` seconds."""
        frame = self.stream.receive(timeout)
        return None if frame is None else tuple(self.unpack(frame)[1:])

    def hint(self, hints):
        """Adds hints to the next answer only."""
        self._hints |= hints

    def count_batch(self, busy_ns, env_steps):
        """Does nothing: only the library keeps statistics."""

    def finish(self, seq, reply=None):
        """Reports that a batch is done; returns True."""
        hints, self._hints = self._hints, 0
        self.stream.send(self.pack(("done", seq, reply, hints)))
        return True
