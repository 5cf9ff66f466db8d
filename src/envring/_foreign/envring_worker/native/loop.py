# SPDX-License-Identifier: MIT
"""The compiled step loop, bound to the interpreter that runs this."""

from __future__ import absolute_import, division, print_function

import sys

from ..commands import OP_STEP
from ..data.preorder import INFO_KINDS, PYTHON_INTS, SCALAR_KINDS, flatten_entries, flatten_plan

SLAB = 0  # actions travel in the slab, in the space's dtypes

try:
    _intern = sys.intern
except AttributeError:  # Python 2
    _intern = __import__("__builtin__").intern


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
        segment: its segment: `address`, `num_envs`, `off_slots`, `slot_bytes` and the arrays
            `tids`, `final_marks` and `info_area`.
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
        self._actions = None
        if action_scalars is not None:
            self._find_actions(action_scalars, envs.actions.slab)
        if not envs.obs_writer.has_dynamic:
            self._make_plan(envs.obs_writer.plan, leaf_offsets)
        self.rebind()
        # Called without declared arguments, which are already what C wants: half the time.
        self._step = locked["er_port_step"]
        self._serve = locked["er_port_serve"]
        self._count_for = library.unlocked.er_port_count_for
        self._clear = locked["er_steploop_clear"]
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
        loop.set_slot = self._hold(lambda slot, _: setattr(envs, "slot", slot))
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

    def _find_actions(self, scalars, slab):
        foreign, first = self._foreign, self.envs.first_env
        view = scalars[first : first + self.envs.num_envs]
        foreign.actions = self._hold(view)
        if view.dtype == "int64":
            foreign.numbers = _data(view)
        if slab.nbytes >= len(scalars) * 8:
            foreign.ints = _data(slab) + first * 8

    def count_for(self, port):
        """Lets the times that the loop takes count as those of the port's worker."""
        self._count_for(self._at, port.at)

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
        loop, foreign = self.loop, self._foreign
        loop.python_ints = action == PYTHON_INTS and foreign.ints is not None
        if loop.python_ints:
            loop.int_actions, loop.actions = foreign.ints, foreign.actions
        elif action == SLAB and foreign.actions is not None:
            loop.int_actions, loop.actions = foreign.numbers, foreign.actions
        else:
            actions = self.envs.actions.read(action)
            loop.int_actions, loop.actions = None, id(actions)
            self._actions = actions  # only now may the old ones go
        self._step_all(slot, port)

    def _step_all(self, slot, port):
        """Steps the envs from `loop.at` on; one that fails keeps none of the others from it."""
        while True:
            try:
                self._step(self._at, port, slot)
                return
            except Exception:
                self._fail()

    def _fail(self):
        self.envs.fail(self.loop.at)
        self.loop.at += 1

    def serve(self, port, timeout):
        """Runs step commands until there is something else to do.

        Returns a command (op, seq, slot, action) that is no step, a step's (seq,) whose reply is
        still to be sent, or None after `timeout` seconds or sooner without any command.
        """
        at = self._ctypes.c_void_p(port.at)
        patience = self._ctypes.c_int64(int(timeout * 1e9))
        envs, command = self.envs, port.command
        served_step = self._structs.SERVED_STEP
        publish = False
        while True:
            try:
                r = self._serve(self._at, at, publish, envs.dirty, patience)
            except Exception:
                self._fail()
                self._step_all(command.slot, at)
                r = served_step
            if r != served_step:
                if r < 0 or command.op != OP_STEP:
                    return port.taken(r)
                self._run(command.slot, command.action, at)
            if envs.dirty:
                return (command.seq,)
            publish = True

    def close(self):
        """Lets go of the action objects that C holds."""
        self._clear(self._at)

    def __del__(self):
        clear = getattr(self, "_clear", None)
        if clear is not None:
            clear(self._at)
