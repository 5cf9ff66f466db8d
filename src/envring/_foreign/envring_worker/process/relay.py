# SPDX-License-Identifier: MIT
"""Commands over the channel instead of rings: for interpreters that cannot load the library."""

from __future__ import absolute_import, division, print_function


class RelayPort(object):
    """A worker's end of a batch, told and answered by frames. Results lie in the segment as ever.

    Args:
        stream: the channel.
        pack, unpack: values to bytes and back.
    """

    def __init__(self, stream, pack, unpack):
        self.stream = stream
        self.pack = pack
        self.unpack = unpack
        self._hints = 0

    def next(self, timeout):
        """The next command (op, seq, slot, action), or None after `timeout` seconds."""
        frame = self.stream.receive(timeout)
        return None if frame is None else tuple(self.unpack(frame)[1:])

    def hint(self, hints):
        """Raises hints in the next answer, and only there."""
        self._hints |= hints

    def count_batch(self, busy_ns, env_steps):
        """Statistics are kept by the library."""

    def finish(self, seq, reply=None):
        """Says that a batch is done."""
        hints, self._hints = self._hints, 0
        self.stream.send(self.pack(("done", seq, reply, hints)))
        return True
