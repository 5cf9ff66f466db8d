# SPDX-License-Identifier: MIT
"""Commands over the channel instead of rings: for interpreters that cannot load the library."""

from __future__ import absolute_import, division, print_function

from ..commands import OP_EACH, OP_TOGETHER


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
        self._env_steps = 0
        self._at = self._until = 0

    def next(self, timeout):
        """Returns the next command (op, seq, slot, action), or None after `timeout` seconds."""
        frame = self.stream.receive(timeout)
        if frame is None:
            return None
        command = tuple(self.unpack(frame)[1:])
        if command[0] in (OP_EACH, OP_TOGETHER):
            self._at = command[4]
            self._until = self._at + command[5]
        return command[:4]

    def env(self):
        """The env that is next of a command for some, counted from the slice's first, or -1."""
        return self._at if self._at < self._until else -1

    def hint(self, hints):
        """Adds hints to the next answer only."""
        self._hints |= hints

    def count_batch(self, busy_ns, env_steps):
        """Counts steps: only the library keeps statistics."""
        self._env_steps += env_steps

    def env_steps(self):
        """How many steps of envs there were."""
        return self._env_steps

    def finish(self, seq, reply=None):
        """Reports that a batch is done, or the env that `env` names; returns True."""
        if self._at < self._until:
            self._at += 1
        hints, self._hints = self._hints, 0
        self.stream.send(self.pack(("done", seq, reply, hints)))
        return True
