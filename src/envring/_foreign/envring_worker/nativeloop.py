# SPDX-License-Identifier: MIT
"""The compiled step loop, bound to the interpreter that runs this."""

from __future__ import absolute_import, division, print_function

import sys

from .flat import INFO_KINDS, SCALAR_KINDS, flatten_entries, flatten_plan
from .main import OP_STEP

try:
    _intern = sys.intern
except AttributeError:  # Python 2
    _intern = __import__("__builtin__").intern

_GOT_STEP = 1  # in the low two bits of what er_foreign_next returns; the slot is above


def _data(array):
    return array.__array_interface__["data"][0]


def _interned(key):
    # the env's own keys are mostly interned: then comparing is a matter of pointers
    return _intern(key) if type(key) is str else key


class NativeLoop(object):
    """The compiled step loop over an EnvSlice that is attached to a segment.

    Args:
        library: the Library.
        envs: the EnvSlice, whose methods hold the semantics. If it has a true `four_tuples`, envs
            may return (obs, reward, done, info).
        segment: its segment: `address`, `off_slots`, `slot_bytes` and the arrays `tids`,
            `final_marks` and `info_area`.
        leaf_offsets: offset in a slot of each observation leaf.
        outcome_offsets: offsets in a slot of rewards, terminations and truncations.
        action_scalars: the action slab as an array (num_envs,) if it holds a number per env.

    Raises:
        NativeUnavailable: it cannot run in this interpreter.
    """

    def __init__(self, library, envs, segment, leaf_offsets, outcome_offsets, action_scalars):
        self._python, locked = library.python()
        self._ctypes, self._structs = library.ctypes, library.structs
        self.envs = envs
        self._segment = segment
        self._held = []  # what the structs point to
        self._templates = []
        self._foreign = self._structs.ForeignLoop()
        self.loop = self._foreign.loop  # the same memory
        self._fill(envs, segment, outcome_offsets)
        self._view = self._int_actions = None
        if action_scalars is not None:
            last = envs.first_env + envs.num_envs
            self._view = action_scalars[envs.first_env : last]
            if self._view.dtype == "int64":
                self._int_actions = _data(self._view)
        self._reading_view = False
        self._actions = None
        if not envs.obs_writer.has_dynamic:
            self._make_plan(envs.obs_writer.plan, leaf_offsets)
        self.rebind()
        # Called without declared arguments, which are already what C wants: half the time.
        self._step = locked["er_foreign_step"]
        self._clear = locked["er_steploop_clear"]
        self._go_on = library.unlocked["er_foreign_go_on"]
        self._next = library.unlocked["er_foreign_next"]
        self._go_on.restype = self._next.restype = self._ctypes.c_int64
        self._clear.restype = None
        self._at = self._ctypes.byref(self._foreign)

    def _fill(self, envs, segment, outcome_offsets):
        c, foreign, loop = self._ctypes, self._foreign, self.loop
        n = envs.num_envs
        foreign.slots = segment.address + segment.off_slots
        foreign.slot_bytes = segment.slot_bytes
        foreign.final_marks = _data(segment.final_marks)
        foreign.off_rewards, foreign.off_terminations, foreign.off_truncations = outcome_offsets
        loop.py = c.pointer(self._python.table)
        loop.autoreset_mode = envs.autoreset_mode
        loop.first_env, loop.num_envs = envs.first_env, n
        loop.last_obs = self._hold(envs.last_obs)
        loop.pending = _data(envs.pending)
        loop.rewards = c.cast(_data(envs.rewards), c.POINTER(c.c_double))
        loop.terminations = c.cast(_data(envs.terminations), c.POINTER(c.c_uint8))
        loop.truncations = c.cast(_data(envs.truncations), c.POINTER(c.c_uint8))
        self._held += [envs.pending, envs.rewards, envs.terminations, envs.truncations]
        for name in (
            "reset_ended",
            "finish_ended",
            "store_obs",
            "store_info",
            "to_result",
            "to_reward",
        ):
            setattr(loop, name, self._hold(getattr(envs, name)))
        if getattr(envs, "four_tuples", False):
            loop.truncated_key = self._hold(_intern("TimeLimit.truncated"))
        loop.tids = _data(segment.tids)
        loop.info_area = _data(segment.info_area)
        loop.env_template = (c.c_int * max(n, 1))(*([-1] * n))
        self._steps = (c.c_void_p * max(n, 1))()
        loop.steps = c.cast(self._steps, c.POINTER(c.c_void_p))

    def _hold(self, value):
        self._held.append(value)
        return id(value)

    def _shape(self, shape):
        return (self._ctypes.c_int64 * max(len(shape), 1))(*shape)

    def rebind(self):
        """Takes the slice's step methods as they are now."""
        bound = list(self.envs.steps)
        for i, step in enumerate(bound):
            self._steps[i] = id(step)
        self._bound = bound  # only now may the old ones go

    def _make_plan(self, plan, offsets):
        flat = flatten_plan(plan)
        nodes = (self._structs.ObsNode * len(flat))()
        for node, (kind, key, children, following, leaf) in zip(nodes, flat):
            node.kind, node.num_children, node.next = kind, children, following
            node.key = self._hold(_interned(key))
            if leaf is None:
                continue
            dtype, shape = self._python.dtype(leaf[2]), leaf[3]
            node.dtype = self._hold(dtype)
            if self._python.has_scalar(dtype.type):
                node.scalar = self._hold(dtype.type)
            node.scalar_kind = SCALAR_KINDS.get(dtype.kind, 0)
            node.ndim = len(shape)
            node.shape = self._shape(shape)
            node.offset = offsets[leaf[1]]
            node.nbytes = dtype.itemsize
            for length in shape:
                node.nbytes *= length
        self.loop.obs_plan = nodes

    def add_template(self, template):
        """Gives the fast path an info template; those with objects in them stay in Python."""
        tid, entries = template
        flat = flatten_entries(entries)
        if flat is None:
            return
        cells = (self._structs.InfoEntry * max(len(flat), 1))()
        for cell, (entry, children, following) in zip(cells, flat):
            kind = entry[0]
            cell.kind = INFO_KINDS[kind]
            cell.key = self._hold(_interned(entry[1]))
            cell.num_children, cell.next = children, following
            if kind == "d":
                continue
            cell.offset = entry[2]
            cell.nbytes = 1 if kind == "b" else 8
            if kind in "na":
                dtype = self._python.dtype(str(entry[3]))
                cell.nbytes = dtype.itemsize
                if kind == "a":
                    cell.type = self._hold(dtype)
                elif self._python.has_scalar(dtype.type):
                    cell.type = self._hold(dtype.type)
            if kind == "a":
                cell.ndim = len(entry[4])
                cell.shape = self._shape(entry[4])
                for length in entry[4]:
                    cell.nbytes *= length
        self._templates.append((tid, len(entries), cells))
        templates = (self._structs.InfoTemplate * len(self._templates))()
        for each, filled in zip(templates, self._templates):
            each.tid, each.num_top, each.entries = filled
        self.loop.templates = templates
        self.loop.num_templates = len(self._templates)

    def step(self, slot, action):
        """Steps the slice into a slot; `action` says how the actions travel."""
        self._run(slot, action, None)

    def _run(self, slot, action, port):
        if action != 0 or not self._reading_view:
            self._read_actions(action)
        self.envs.slot = slot
        while True:
            try:
                self._step(self._at, port, slot)
                return
            except Exception:
                self.envs.fail(self.loop.at)
                self.loop.at += 1

    def _read_actions(self, action):
        loop = self.loop
        self._reading_view = action == 0 and self._view is not None
        actions = self._view if self._reading_view else self.envs.actions.read(action)
        loop.int_actions = self._int_actions if self._reading_view else None
        loop.actions = id(actions)
        self._actions = actions  # only now may the old ones go

    def serve(self, port, timeout):
        """Runs step commands until there is something else to do.

        Returns a command (op, seq, slot, action) that is no step, a step's (seq,) whose reply is
        still to be sent, or None after `timeout` seconds or sooner without any command.
        """
        at = self._ctypes.c_void_p(port.at)
        patience = self._ctypes.c_int64(int(timeout * 1e9))
        envs, go_on, command = self.envs, self._go_on, port.command
        got = self._next(at, patience)
        while got > 0:
            if got & 3 == _GOT_STEP:
                self._run(got >> 2, 0, at)
            elif command.op == OP_STEP:
                self._run(command.slot, command.action, at)
            else:
                break
            if envs.dirty:
                return (command.seq,)
            got = go_on(at, patience)
        return port.taken(got)

    def close(self):
        """Lets go of the action objects that C holds."""
        self._clear(self._at)

    def __del__(self):
        clear = getattr(self, "_clear", None)
        if clear is not None:
            clear(self._at)
