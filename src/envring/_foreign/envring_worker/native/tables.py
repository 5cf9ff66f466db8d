# SPDX-License-Identifier: MIT
"""What the compiled step loop reads and writes: structs of csrc, filled in from here.

A struct is an aligned dtype of numpy. Fields stand in the order of the C headers, which say what
they mean; pointers are addresses. A build that reports other sizes or offsets is not used.
"""

from __future__ import absolute_import, division, print_function

import sys

import numpy as np

from .. import commands, loop, retiring
from ..data import actions, preorder

try:
    _intern = sys.intern
except AttributeError:  # Python 2
    _intern = __import__("__builtin__").intern

SERVED_COMMAND, SERVED_STEP, SERVED_ACTIONS = 1, 2, 3  # what er_port_serve returns

CACHED_ACTIONS = 256

_INT, _U32, _I64, _U64, _POINTER = np.intc, np.uint32, np.int64, np.uint64, np.uintp


def _struct(*fields):
    """The dtype of a struct of (type, names), ..."""
    pairs = [(name, kind) for kind, names in fields for name in names.split()]
    return np.dtype(pairs, align=True)


#: er_obs_node_t
OBS_NODE = _struct(
    (_INT, "kind num_children next"),
    (_POINTER, "key dtype scalar"),
    (_INT, "scalar_kind ndim"),
    (_POINTER, "shape"),
    (_U64, "offset nbytes"),
)

#: er_info_entry_t
INFO_ENTRY = _struct(
    (_INT, "kind num_children next"),
    (_POINTER, "key type"),
    (_INT, "ndim"),
    (_POINTER, "shape"),
    (_U64, "offset nbytes"),
)

#: er_info_template_t
INFO_TEMPLATE = _struct((np.uint16, "template_id"), (_INT, "num_top"), (_POINTER, "entries"))

#: er_steploop_t
STEP_LOOP = _struct(
    (_POINTER, "py"),
    (_INT, "autoreset_mode"),
    (_U32, "first_env num_envs"),
    (_POINTER, "segment slots"),
    (_U64, "slot_bytes off_rewards off_terminations off_truncations"),
    (_POINTER, "final_marks template_ids info_area"),
    (_POINTER, "steps last_obs pending rewards terminations truncations"),
    (_POINTER, "reset_env rebind finish_ended store_obs store_info to_result to_reward"),
    (_POINTER, "truncated_key set_slot obs_plan templates"),
    (_INT, "num_templates"),
    (_POINTER, "env_template slab_actions slab_numbers slab_ints timed stats"),
    (np.dtype((_POINTER, (CACHED_ACTIONS,))), "action_cache"),
    (_POINTER, "rows_base"),
    (_U64, "rows_stretch rows_first rows_past_caches"),
    (_U32, "slot_number"),
    (_INT, "called resetting"),
    (_POINTER, "actions int_actions"),
    (_INT, "python_ints"),
    (_U32, "at"),
    (_U64, "slow_rows"),
    (_INT, "timing"),
    (_I64, "began_ns env_ns"),
    (_U32, "sampled slowest spared"),
    (_I64, "slowest_ns"),
)


def _known():
    """What er_struct_offsets ends with."""
    values = []
    for struct in (OBS_NODE, INFO_ENTRY, INFO_TEMPLATE, STEP_LOOP):
        values.append(struct.itemsize)
        values.extend(struct.fields[name][1] for name in struct.names)
    values += [preorder.OBS_LEAF, preorder.OBS_DICT, preorder.OBS_TUPLE]
    values += [preorder.SCALAR_KINDS[kind] for kind in "iuf"]
    values += [preorder.INFO_KINDS[kind] for kind in "fibnad"]
    values += [loop.NEXT_STEP, loop.SAME_STEP, loop.DISABLED]
    values += [commands.OP_STEP, commands.OP_MESSAGE, commands.OP_EACH, commands.OP_TOGETHER]
    values += [commands.HINT_MOSTLY_WAITING, retiring.HINT_LEAVES_SOON]
    values += [actions.SLAB, actions.RESET, actions.PYTHON_INTS, actions.ALIGNMENT]
    return values + [SERVED_COMMAND, SERVED_STEP, SERVED_ACTIONS]


KNOWN = _known()


def _data(array):
    return array.__array_interface__["data"][0]


def _interned(key):
    # the env's own keys are mostly interned: then comparing is a matter of pointers
    return _intern(key) if type(key) is str else key


def _dtype(name):
    """The dtype object that arrays of this dtype have: they are compared by identity."""
    dtype = np.dtype(str(name))
    common = np.dtype(dtype.type)
    return common if common == dtype else dtype


def _binder(envs, addresses):
    """A function that notes where the slice's step methods are, and holds them."""
    held = []

    def bind():
        steps = list(envs.steps)
        addresses[:] = [id(step) for step in steps]
        held[:] = steps  # only now may the old ones go

    return bind


class LoopTables(object):
    """The struct of a step loop over an attached EnvSlice, and all that it points to.

    Args:
        memory: the struct's memory, a STEP_LOOP array (1,).
        python: address of the er_python_t.
        has_scalar: whether the values of a numpy type's scalars may be read in place, by type.
        envs: the EnvSlice, whose methods hold the semantics. If it has a true `four_tuples`, envs
            may return (obs, reward, done, info).
        segment: its segment: `address`, `slot_bytes`, and the offsets `off_slots`,
            `off_template_ids`, `off_final_marks` and `off_infos`.
        leaf_offsets: offset in a slot of each observation leaf.
        outcome_offsets: offsets in a slot of rewards, terminations and truncations.
        action_scalars: the action slab as an array (num_envs,) if it holds a number per env.

    Attributes:
        loop: the struct.
    """

    def __init__(
        self,
        memory,
        python,
        has_scalar,
        envs,
        segment,
        leaf_offsets,
        outcome_offsets,
        action_scalars,
    ):
        self.loop = memory[0]  # the same memory
        self._has_scalar = has_scalar
        self._envs = envs
        self._held = [segment]  # what the structs point to
        self._templates = []
        self._fill(python, envs, segment, outcome_offsets)
        if action_scalars is not None:
            self._find_actions(action_scalars, envs.actions.slab)
        if not envs.obs_writer.has_dynamic:
            self._make_plan(envs.obs_writer.plan, leaf_offsets)
        self.rebind()

    def _fill(self, python, envs, segment, outcome_offsets):
        loop, n = self.loop, envs.num_envs
        loop["py"] = python
        loop["autoreset_mode"] = envs.autoreset_mode
        loop["first_env"], loop["num_envs"] = envs.first_env, n
        loop["segment"] = segment.address
        loop["slots"] = segment.address + segment.off_slots
        loop["slot_bytes"] = segment.slot_bytes
        for name, offset in zip(("rewards", "terminations", "truncations"), outcome_offsets):
            loop["off_" + name] = offset
        loop["final_marks"] = segment.address + segment.off_final_marks
        loop["template_ids"] = segment.address + segment.off_template_ids
        loop["info_area"] = segment.address + segment.off_infos
        self._steps = np.zeros(n, np.uintp)
        loop["steps"] = _data(self._steps)
        loop["last_obs"] = self._hold(envs.last_obs)
        for name in ("pending", "rewards", "terminations", "truncations"):
            loop[name] = self._hold_data(getattr(envs, name))
        for name in (
            "reset_env",
            "finish_ended",
            "store_obs",
            "store_info",
            "to_result",
            "to_reward",
        ):
            loop[name] = self._hold(getattr(envs, name))
        if getattr(envs, "four_tuples", False):
            loop["truncated_key"] = self._hold(_intern("TimeLimit.truncated"))
        self._bind = bind = _binder(envs, self._steps)
        loop["rebind"] = self._hold(lambda *_: (envs.rebind(), bind()))
        loop["set_slot"] = self._hold(lambda slot, _: setattr(envs, "slot", slot))
        loop["env_template"] = self._hold_data(np.full(n, -1, np.intc))

    def _hold(self, value):
        self._held.append(value)
        return id(value)

    def _hold_data(self, array):
        self._held.append(array)
        return _data(array)

    def _find_actions(self, scalars, slab):
        first = self._envs.first_env
        view = scalars[first : first + self._envs.num_envs]
        self.loop["slab_actions"] = self._hold(view)
        if view.dtype == "int64":
            self.loop["slab_numbers"] = _data(view)
        if slab.nbytes >= len(scalars) * 8:
            self.loop["slab_ints"] = _data(slab) + first * 8

    def rebind(self):
        """Takes the slice's step methods as they are now."""
        self._bind()

    def _shape(self, cell, shape, dtype):
        """Says how large one env's value is."""
        nbytes = dtype.itemsize
        for length in shape:
            nbytes *= length
        cell["ndim"], cell["nbytes"] = len(shape), nbytes
        cell["shape"] = self._hold_data(np.array(shape, np.int64))

    def _make_plan(self, plan, offsets):
        flat = preorder.flatten_plan(plan)
        nodes = np.zeros(len(flat), OBS_NODE)
        for node, (kind, key, children, following, leaf) in zip(nodes, flat):
            node["kind"], node["num_children"], node["next"] = kind, children, following
            node["key"] = self._hold(_interned(key))
            if leaf is None:
                continue
            dtype = _dtype(leaf[2])
            node["dtype"] = self._hold(dtype)
            if self._has_scalar(dtype.type):
                node["scalar"] = self._hold(dtype.type)
            node["scalar_kind"] = preorder.SCALAR_KINDS.get(dtype.kind, 0)
            node["offset"] = offsets[leaf[1]]
            self._shape(node, leaf[3], dtype)
        self.loop["obs_plan"] = self._hold_data(nodes)

    def add_template(self, template):
        """Gives the fast path an info template; those with objects in them stay in Python."""
        template_id, entries = template
        flat = preorder.flatten_entries(entries)
        if flat is None:
            return
        cells = np.zeros(len(flat), INFO_ENTRY)
        for cell, (entry, children, following) in zip(cells, flat):
            kind = entry[0]
            cell["kind"] = preorder.INFO_KINDS[kind]
            cell["key"] = self._hold(_interned(entry[1]))
            cell["num_children"], cell["next"] = children, following
            if kind == "d":
                continue
            cell["offset"] = entry[2]
            cell["nbytes"] = 1 if kind == "b" else 8
            if kind in "na":
                dtype = _dtype(entry[3])
                self._shape(cell, entry[4] if kind == "a" else (), dtype)
                if kind == "a":
                    cell["type"] = self._hold(dtype)
                elif self._has_scalar(dtype.type):
                    cell["type"] = self._hold(dtype.type)
        self._templates.append((template_id, len(entries), self._hold_data(cells)))
        self._table = np.array(self._templates, INFO_TEMPLATE)
        self.loop["templates"] = _data(self._table)
        self.loop["num_templates"] = len(self._templates)
