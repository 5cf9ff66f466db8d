# SPDX-License-Identifier: MIT
"""The compiled step loop, bound to the interpreter that runs this."""

from __future__ import absolute_import, division, print_function

import numpy as np

from ..commands import OP_STEP
from ..data.actions import RESET
from .tables import SERVED_ACTIONS, SERVED_STEP, STEP_LOOP, LoopTables


class NativeLoop(LoopTables):
    """The compiled step loop over an EnvSlice that is attached to a segment.

    Args:
        library: the Library.
        envs, segment, leaf_offsets, outcome_offsets, action_scalars: as for LoopTables.

    Raises:
        NativeUnavailable: it cannot run in this interpreter.
    """

    def __init__(self, library, envs, segment, leaf_offsets, outcome_offsets, action_scalars):
        python, locked = library.python()
        self._python = python
        functions = library.unlocked
        self._take_actions = functions.er_steploop_find_actions
        self._begin = functions.er_steploop_begin
        self._count_for = functions.er_port_count_for
        self._count_step = functions.er_port_count_step
        self._ctypes = c = library.ctypes
        self._memory = np.zeros(1, STEP_LOOP)
        LoopTables.__init__(
            self,
            self._memory,
            c.addressof(python.table),
            python.has_scalar,
            envs,
            segment,
            leaf_offsets,
            outcome_offsets,
            action_scalars,
        )
        # Called without declared arguments, which are already what C wants: half the time.
        self._run = locked["er_steploop_run"]
        self._serve = locked["er_port_serve"]
        self._clear = locked["er_steploop_clear"]
        self._clear.restype = None
        self._actions = None  # of a command for some envs, which may be served in parts
        self._at = c.c_void_p(self._memory.__array_interface__["data"][0])

    def count_for(self, port):
        """Lets the times that the loop takes count as those of the port's worker."""
        self._count_for(port.at, self._at)

    def step(self, slot, action):
        """Steps the slice into a slot; `action` says how the actions travel."""
        if not self._take_actions(self._at, action):
            actions = self._envs.actions.read(action)  # kept by this name until all have stepped
            self.loop["actions"] = id(actions)
        self._begin(self._at, slot)
        self._step_rest()

    def _step_rest(self):
        """Steps the envs that have not been stepped; one that fails keeps none of them from it."""
        while True:
            try:
                self._run(self._at)
                return
            except BaseException:  # of a coroutine or of Rust, too
                self._fail()

    def _fail(self):
        self._envs.fail(int(self.loop["at"]))
        self.loop["at"] += 1

    def serve(self, port, timeout):
        """Runs step commands until there is something else to do.

        Returns a command (op, seq, slot, action) that steps nothing, a step's (seq,) whose reply is
        still to be sent, or None after `timeout` seconds or sooner without any command.
        """
        at = self._ctypes.c_void_p(port.at)
        patience = self._ctypes.c_int64(int(timeout * 1e9))
        envs, command = self._envs, port.command
        publish = False
        while True:
            try:
                r = self._serve(at, self._at, publish, envs.has_reply, patience)
            except BaseException:
                self._fail()
                if port.env() < 0:
                    self._step_rest()
                else:
                    self.rebind()
                self._count_step(at, self._at)
                r = SERVED_STEP
            if r == SERVED_ACTIONS:
                self._actions = envs.actions.read(command.action)
                self.loop["actions"] = id(self._actions)
                publish = False
                continue
            if r != SERVED_STEP:
                if r < 0 or command.op != OP_STEP or command.action == RESET:
                    return port.taken(r)
                self.step(command.slot, command.action)
                self._count_step(at, self._at)
            if envs.has_reply:
                return (command.seq,)
            publish = True

    def close(self):
        """Releases the action objects that C holds."""
        self._clear(self._at)

    def __del__(self):
        clear = getattr(self, "_clear", None)
        if clear is not None:
            clear(self._at)
