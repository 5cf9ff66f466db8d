# SPDX-License-Identifier: MIT
"""The shared memory of a vector env as numpy arrays, in the layout that the caller sends."""

from __future__ import absolute_import, division, print_function

import mmap
import os
import struct

import numpy as np

from ..text import as_path
from .mapping import map_file

_MAGIC = b"ENVRING\0"
_TIME_SLOTS = 168  # er_segment_t: time_first, time_count
_HEADER = struct.Struct("<8sI")  # magic and ABI version, which every version begins with


class SegmentError(Exception):
    """The mapped memory is not the segment that the caller announced."""


class Segment(object):
    """A mapped segment. Arrays over it keep the mapping alive.

    Attributes:
        address, nbytes: of the mapping.
        num_envs: of the whole vector env.
        final_arrays, final_marks, template_ids, info_area, action_slab: arrays over all envs.
        spec: the layout as it came.

    Raises:
        SegmentError: it is too short, or of another version.
    """

    def __init__(self, layout, abi):
        self.spec = layout
        self.num_envs = layout["num_envs"]
        self.nbytes = layout["bytes"]
        self._map = _map(layout)
        magic, version = _HEADER.unpack_from(self._map[: _HEADER.size])
        if magic != _MAGIC or version != abi:
            raise SegmentError(
                "it is not a segment of this version: it begins with %r and has ABI %d, but the "
                "caller announced ABI %d" % (magic, version, abi)
            )
        for name in ("off_slots", "slot_bytes", "off_final", "off_infos", "info_bytes"):
            setattr(self, name, layout[name])
        for name in ("off_actions", "off_final_marks", "off_template_ids"):
            setattr(self, name, layout[name])
        self._bytes = np.frombuffer(self._map, np.uint8)
        self.address = self._bytes.__array_interface__["data"][0]
        self.final_marks = self.array(self.off_final_marks, (self.num_envs,), np.uint8)
        self.template_ids = self.array(self.off_template_ids, (self.num_envs,), np.uint16)
        self.final_arrays = self._arrays(layout["final_leaves"], self.off_final)
        self.info_area = self.array(self.off_infos, (self.info_bytes,), np.uint8)
        self.action_slab = self.array(self.off_actions, (layout["action_bytes"],), np.uint8)
        self._time_slots = self.array(_TIME_SLOTS, (2,), np.uint32)
        self._slots = {}

    def array(self, offset, shape, dtype):
        """Returns a writable array over the bytes at an offset.

        Raises:
            SegmentError: it is not inside the segment.
        """
        dtype = np.dtype(dtype)
        count = dtype.itemsize
        for length in shape:
            count *= length
        if offset < 0 or offset + count > self.nbytes:
            raise SegmentError(
                "%d bytes at %d are outside its %d bytes" % (count, offset, self.nbytes)
            )
        return self._bytes[offset : offset + count].view(dtype).reshape(shape)

    def _arrays(self, leaves, base):
        return [
            None if shape is None else self.array(base + offset, tuple(shape), str(dtype))
            for offset, shape, dtype in leaves
        ]

    def _over_time(self, leaves, base, count, at):
        """The arrays of one of `count` slots that follow each other in time: see er_slot_rows_t."""
        stretched = [
            (count * offset, None if shape is None else (count,) + tuple(shape), dtype)
            for offset, shape, dtype in leaves
        ]
        return [None if each is None else each[at] for each in self._arrays(stretched, base)]

    def slot_arrays(self, slot):
        """Returns (observation leaves, rewards, terminations, truncations) of a slot, all envs."""
        arrays = self._slots.get(slot)
        if arrays is None:
            first, count = [int(word) for word in self._time_slots]
            base = self.off_slots + slot * self.slot_bytes
            if first and slot >= first:
                base = self.off_slots + first * self.slot_bytes
                leaves = self._over_time(self.spec["obs_leaves"], base, count, slot - first)
                outcomes = self._over_time(self.spec["outcomes"], base, count, slot - first)
            else:
                leaves = self._arrays(self.spec["obs_leaves"], base)
                outcomes = self._arrays(self.spec["outcomes"], base)
            arrays = self._slots[slot] = (leaves,) + tuple(outcomes)
        return arrays


def _map(layout):
    fd, path, nbytes = layout["fd"], layout["path"], layout["bytes"]
    try:
        if path is not None:
            fd = os.open(as_path(path), os.O_RDWR)
        try:
            there = os.fstat(fd).st_size
            if there < nbytes:
                raise SegmentError("it has %d bytes, but the caller announced %d" % (there, nbytes))
            return map_file(fd, nbytes)
        finally:
            os.close(fd)
    except (OSError, IOError, ValueError, mmap.error) as error:
        raise SegmentError("it cannot be mapped (%s): %s" % (path or "descriptor %d" % fd, error))
