# SPDX-License-Identifier: MIT
"""Segments inside one process, and slices of envs on them: for every interpreter."""

from __future__ import absolute_import, division, print_function

import ctypes
import mmap
import sys

import numpy as np
from envring_worker.data.actions import ALIGNMENT, ActionReader
from envring_worker.data.infos import InfoWriter, signature
from envring_worker.data.obs import ObsWriter, leaves
from envring_worker.loop import EnvSlice
from envring_worker.native.library import Library
from envring_worker.native.loop import NativeLoop

PATH = sys.argv[1]
ACTIONS = ("leaf", 0, "<i8", ())


class Config(ctypes.Structure):
    """er_config_t."""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("num_envs", "num_workers", "num_slots", "command_ring", "reply_ring")
    ] + [
        (name, ctypes.c_uint64)
        for name in ("action_bytes", "final_bytes", "slot_bytes", "info_bytes")
    ]


class Header(ctypes.Structure):
    """er_segment_t, to its seal."""

    _fields_ = (
        [("magic", ctypes.c_uint64)]
        + [(name, ctypes.c_uint32) for name in ("abi", "num_envs", "num_workers", "num_slots")]
        + [
            (name, ctypes.c_uint64)
            for name in ("total_bytes", "slot_bytes", "info_bytes", "action_bytes", "final_bytes")
        ]
        + [(name, ctypes.c_uint32) for name in ("command_ring_bytes", "reply_ring_bytes")]
        + [
            ("off_" + name, ctypes.c_uint64)
            for name in ("workers", "env_seq", "ready", "template_ids", "final_marks")
            + ("command_rings", "reply_rings", "actions", "final", "slots", "infos")
        ]
        + [("sealed", ctypes.c_uint32)]
    )


def aligned(nbytes):
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def room(plan, num_envs):
    """Offsets of the leaves, and where they end."""
    offsets, at = [], 0
    for leaf in leaves(plan):
        offsets.append(at)
        if leaf[0] == "leaf":
            size = int(np.prod(leaf[3], dtype=np.int64)) * np.dtype(leaf[2]).itemsize
            at += aligned(num_envs * size)
    return offsets, at


class Segment(object):
    """A segment in memory of this process, laid out by the library, as a worker sees it."""

    def __init__(self, library, plan, num_envs, num_workers=1, action_plan=ACTIONS):
        functions = library.unlocked
        self.plan = plan
        self.leaf_offsets, at = room(plan, num_envs)
        final_bytes = at
        self.outcome_offsets = []
        for itemsize in (8, 1, 1):
            self.outcome_offsets.append(at)
            at += aligned(num_envs * itemsize)
        action_bytes = max(room(action_plan, num_envs)[1], 16 * num_envs)
        sizes = (action_bytes, final_bytes, at, 1 << 16)
        config = Config(num_envs, num_workers, 2, 1024, 1024, *sizes)
        functions.er_segment_bytes.restype = ctypes.c_int64
        self.nbytes = functions.er_segment_bytes(ctypes.byref(config))
        self._map = mmap.mmap(-1, self.nbytes)
        self._bytes = np.frombuffer(self._map, np.uint8)
        self.address = self._bytes.__array_interface__["data"][0]
        functions.er_segment_format.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p]
        assert functions.er_segment_format(self.address, self.nbytes, ctypes.byref(config)) == 0
        self.header = Header.from_address(self.address)
        self.num_envs = num_envs
        for name in ("slot_bytes", "off_slots", "off_template_ids", "off_final_marks", "off_infos"):
            setattr(self, name, getattr(self.header, name))
        self.template_ids = self.array(self.header.off_template_ids, (num_envs,), np.uint16)
        self.final_marks = self.array(self.header.off_final_marks, (num_envs,), np.uint8)
        self.info_area = self.array(self.header.off_infos, (1 << 16,), np.uint8)
        self.action_slab = self.array(self.header.off_actions, (action_bytes,), np.uint8)
        self.final_arrays = self._leaves(self.header.off_final)
        self._slots = {}

    def array(self, offset, shape, dtype):
        nbytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return self._bytes[offset : offset + nbytes].view(dtype).reshape(shape)

    def _leaves(self, base):
        return [
            self.array(base + offset, (self.num_envs,) + leaf[3], str(leaf[2]))
            if leaf[0] == "leaf"
            else None
            for leaf, offset in zip(leaves(self.plan), self.leaf_offsets)
        ]

    def slot_arrays(self, slot):
        if slot in self._slots:
            return self._slots[slot]
        base = self.off_slots + slot * self.slot_bytes
        outcomes = [
            self.array(base + offset, (self.num_envs,), dtype)
            for offset, dtype in zip(self.outcome_offsets, (np.float64, np.uint8, np.uint8))
        ]
        arrays = self._slots[slot] = [self._leaves(base)] + outcomes
        return arrays


class OldSlice(EnvSlice):
    """Takes tuples of four."""

    four_tuples = True

    def to_result(self, i, result):
        if len(result) == 4:
            obs, reward, done, info = result
            truncated = bool(done) and bool(info.get("TimeLimit.truncated"))
            return obs, reward, bool(done) and not truncated, truncated, info
        return EnvSlice.to_result(self, i, result)


def open_library():
    return Library(PATH)


def attached(library, envs, plan, first_env=1, total=None, mode=0, kind=EnvSlice, **options):
    """A slice on a segment of its own, with a stranger on each side."""
    total = total or first_env + len(envs) + 1
    segment = Segment(library, plan, total, **options)
    envs = kind(envs, first_env, mode, lambda value, check=False: repr(value).encode("ascii"))
    envs.attach(
        segment,
        ObsWriter(plan),
        InfoWriter(first_env, envs.num_envs, segment.template_ids, segment.info_area),
    )
    last = first_env + envs.num_envs
    action_plan = options.get("action_plan", ACTIONS)
    envs.actions = ActionReader(action_plan, total, first_env, last, segment.action_slab)
    return envs


def compiled(library, envs):
    segment = envs.segment
    return NativeLoop(
        library,
        envs,
        segment,
        segment.leaf_offsets,
        segment.outcome_offsets,
        envs.actions.scalars(),
    )


class Learner(object):
    """Makes templates of odd infos, as the caller does."""

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.known = {}
        self.at = 0

    def learn(self, reply):
        """New templates for the infos of a reply."""
        made = []
        for info in reply["odd"].values():
            signed = signature(info, False)
            if signed is not None and signed not in self.known:
                self.known[signed] = (len(self.known) + 1, self._placed(signed))
                made.append(self.known[signed])
        return made

    def _placed(self, parts):
        entries = []
        for part in parts:
            if part[0] == "d":
                entries.append(("d", part[1], self._placed(part[2])))
                continue
            if part[0] in "oF":
                entries.append(part)
                continue
            shape = part[3] if part[0] == "a" else ()
            size = np.dtype(part[2]).itemsize if part[0] in "na" else 8
            entries.append(part[:2] + (self.at,) + tuple(part[2:]))
            self.at += aligned(self.num_envs * size * int(np.prod(shape, dtype=np.int64)))
        return tuple(entries)


def columns(segment, entries, env_id):
    """An env's values in a template's columns, as bytes."""
    values = []
    for entry in entries:
        if entry[0] == "d":
            values.append(columns(segment, entry[2], env_id))
        elif entry[0] in "fibna":
            dtype = {"f": "f8", "i": "i8", "b": "u1"}.get(entry[0]) or str(entry[3])
            size = np.dtype(dtype).itemsize
            if entry[0] == "a":
                size *= int(np.prod(entry[4], dtype=np.int64))
            at = entry[2] + env_id * size
            values.append(segment.info_area[at : at + size].tobytes())
    return values


def stored(envs, slot, templates):
    """All that a step has stored, as plain data, and its reply without texts of errors."""
    segment = envs.segment
    arrays, rewards, terminations, truncations = segment.slot_arrays(slot)
    failed = [failure[0] for failure in envs.failures]
    rows = []
    for env_id in range(segment.num_envs):
        if env_id in failed:
            continue
        row = [None if array is None else array[env_id].tobytes() for array in arrays]
        outcome = (rewards[env_id].tobytes(), terminations[env_id], truncations[env_id])
        template_id = int(segment.template_ids[env_id])
        entries = [each[1] for each in templates if each[0] == template_id]
        mark = int(segment.final_marks[env_id])
        final = [a is not None and a[env_id].tobytes() for a in segment.final_arrays]
        infos = columns(segment, entries[0], env_id) if entries else None
        rows.append((row, outcome, template_id, infos, mark, final if mark == 1 else None))
    reply = envs.take_reply() or {}
    failures = [failure[:2] + failure[3:4] for failure in reply.pop("failures", [])]
    return rows, failures, bits(reply), envs.pending.tolist(), bits(envs.last_obs)


def bits(value):
    """All that tells a value from others, for a comparison: numpy takes long to write arrays."""
    if isinstance(value, dict):
        items = [(repr(key), bits(each)) for key, each in value.items()]
        return type(value), sorted(items, key=lambda item: item[0])
    if isinstance(value, (list, tuple)):
        return type(value), [bits(each) for each in value]
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return type(value), value.dtype.str, value.shape, value.tobytes()
    return type(value), repr(value)
