# SPDX-License-Identifier: MIT
"""Memory for segments, and where things are in them.

The memory is a memfd that workers inherit or receive over their channel: it has no name, so nothing
is left behind, whichever process is killed. Only workers that cannot inherit (containers) get a
file with a name, which is removed as soon as they have mapped it. Space is reserved when it is
made; slots and info columns beyond the first are backed one at a time.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from envring.core import _core
from envring.errors import EnvringError, LayoutMismatch
from envring.transport import shared_memory
from envring.transport.sealing import make_file, seal_size

COMMAND_RING_BYTES = 1024
REPLY_RING_BYTES = 1 << 18
_COMMAND_BYTES = 32  # of a command, and of the message that may come before it, at least


def command_ring_bytes(spans: Sequence[tuple[int, int]]) -> int:
    """Bytes of a command ring that has room for a command per env of a slice, and more."""
    most = max(end - first for first, end in spans)
    return max(COMMAND_RING_BYTES, 1 << (_COMMAND_BYTES * (most + 8) - 1).bit_length())


class SegmentMemoryError(EnvringError, MemoryError):
    """There is not enough shared memory for a segment."""


@dataclass(frozen=True)
class SegmentSpec:
    """All that a worker needs to attach, as plain data.

    Attributes:
        config: fields of er_config_t.
        obs_leaves: (offset in a slot, shape with num_envs first, dtype) per observation leaf; shape
            is None for a dynamic leaf.
        outcomes: the same for rewards, terminations and truncations.
        final_leaves: the same, offsets from the final slab.
    """

    config: dict[str, int]
    obs_leaves: list[tuple[int, tuple[int, ...] | None, str]]
    outcomes: list[tuple[int, tuple[int, ...], str]]
    final_leaves: list[tuple[int, tuple[int, ...] | None, str]]


class SegmentFile:
    """Memory that a segment will be laid out in, made before its size is known.

    Attributes:
        fd: descriptor of the file.
        path: its name, for processes that cannot inherit the descriptor, or None.
    """

    def __init__(self, *, named: bool = False) -> None:
        """Makes the file: a memfd, or one that only this user may open."""
        self.path: str | None = None
        self._maker = os.getpid()
        if named:
            name = f"/envring-{secrets.token_hex(8)}"
            self.fd = shared_memory.open_named(name, make=True)
            self.path = shared_memory.FOLDER + name
        else:
            self.fd = make_file("envring")

    def resize(self, size: int) -> None:
        """Gives the file its size. One without a name can never change it again.

        Raises:
            OSError: there is not enough memory, or another process has touched the file.
        """
        if self.path is None:
            seal_size(self.fd, size)
        else:
            os.ftruncate(self.fd, size)

    def unlink(self) -> None:
        """Removes the name; processes that mapped the file keep it."""
        if self.path is not None:
            # a forked copy of this process must not remove the original's name
            if os.getpid() == self._maker:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)
            self.path = None

    def take_fd(self) -> int:
        """Hands the descriptor over."""
        fd, self.fd = self.fd, -1
        return fd

    def close(self) -> None:
        """Removes the name and closes the descriptor."""
        self.unlink()
        if self.fd >= 0:
            os.close(self.take_fd())


@dataclass
class MappedSegment:
    """A segment mapped here, with arrays over its parts.

    Attributes:
        core: the mapped segment.
        fd: the memfd, or -1 for memory private to this process.
        time_slots: the first and the number of the slots that follow each other in time; None: the
            header says it, which the caller writes.
    """

    spec: SegmentSpec
    core: _core.Segment
    fd: int
    time_slots: tuple[int, int] | None = (0, 0)
    _slots: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Makes the arrays that exist once."""
        core = self.core
        self.final_marks = core.final_marks()
        self.template_ids = core.template_ids()
        self.final_arrays = self._arrays(self.spec.final_leaves, core.off_final)
        self.info_area = core.array(core.off_infos, (core.info_bytes,), np.uint8)
        self.action_slab = core.array(
            core.off_actions, (self.spec.config["action_bytes"],), np.uint8
        )

    def _arrays(self, leaves: Sequence[tuple[int, Any, str]], base: int) -> list[Any]:
        return [
            None if shape is None else self.core.array(base + offset, shape, dtype)
            for offset, shape, dtype in leaves
        ]

    def slot_arrays(self, slot: int) -> tuple[Any, ...]:
        """(observation leaves, rewards, terminations, truncations) of a slot, over all envs."""
        arrays = self._slots.get(slot)
        if arrays is None:
            first, _ = self.time_slots or self.core.time_slots()
            if first and slot >= first:
                leaves, *outcomes = self.arrays_over_time()
                at = slot - first
                arrays = ([None if each is None else each[at] for each in leaves],)
                arrays += tuple(each[at] for each in outcomes)
            else:
                base = self.core.off_slots + slot * self.core.slot_bytes
                leaves = self._arrays(self.spec.obs_leaves, base)
                arrays = (leaves, *self._arrays(self.spec.outcomes, base))
            self._slots[slot] = arrays
        return arrays

    def set_time_slots(self, first: int, count: int) -> None:
        """Has slots that were not used before follow each other in time: see `arrays_over_time`."""
        self.time_slots = first, count
        self.core.set_time_slots(first, count)

    def arrays_over_time(self) -> tuple[Any, ...]:
        """As `slot_arrays`, of all slots that follow each other: each has their number in front."""
        first, count = self.time_slots or self.core.time_slots()
        base = self.core.off_slots + first * self.core.slot_bytes

        def over_time(leaves: Sequence[tuple[int, Any, str]]) -> list[Any]:
            stretched = [
                (count * offset, None if shape is None else (count, *shape), dtype)
                for offset, shape, dtype in leaves
            ]
            return self._arrays(stretched, base)

        return (over_time(self.spec.obs_leaves), *over_time(self.spec.outcomes))

    def back(self, offset: int, count: int) -> bool:
        """Makes sure that these bytes have memory; False if there is none."""
        if self.fd < 0 or count <= 0:
            return True
        try:
            os.posix_fallocate(self.fd, offset, count)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                return False
            raise
        return True

    def back_slot(self, slot: int) -> bool:
        """Makes sure that a slot has memory."""
        return self.back(self.core.off_slots + slot * self.core.slot_bytes, self.core.slot_bytes)

    def back_infos(self, nbytes: int) -> bool:
        """Makes sure that the first bytes of the info area have memory."""
        return nbytes <= self.core.info_bytes and self.back(self.core.off_infos, nbytes)

    def close_fd(self) -> None:
        """Closes the file; the mapping stays while arrays over it live."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def create(spec: SegmentSpec, file: SegmentFile | None) -> MappedSegment:
    """Makes a segment.

    Args:
        spec: what goes into it.
        file: where, its descriptor is taken over; None keeps the memory in this process.

    Raises:
        SegmentMemoryError: there is not enough memory; the text says how much is needed.
    """
    total = _core.segment_bytes(**spec.config)
    fd = -1
    try:
        if file is not None:
            file.resize(total)
            fd = file.take_fd()
        buffer = mmap.mmap(fd, total)
        segment = MappedSegment(spec, _core.Segment(buffer, spec.config), fd)
        first = segment.core.off_slots + segment.core.slot_bytes
        if not segment.back(0, first):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except (OSError, OverflowError) as error:
        if fd >= 0:
            os.close(fd)
        raise SegmentMemoryError(
            f"A batch of these envs needs more shared memory than this system gave ({error}): "
            f"{spec.config['slot_bytes'] / 2**20:.1f} MiB a slot. Use fewer envs or smaller "
            "observations, or raise the memory limit of this container."
        ) from error
    return segment


def attachment(segment: MappedSegment, path: str | None) -> dict[str, Any]:
    """All that a worker without `_core` needs to attach, as plain data.

    Args:
        segment: the segment, whose descriptor the worker inherited.
        path: where the worker finds it if it did not.
    """
    core, spec = segment.core, segment.spec
    return {
        "fd": segment.fd if path is None else -1,
        "path": path,
        "bytes": core.total_bytes,
        "num_envs": core.num_envs,
        "obs_leaves": spec.obs_leaves,
        "outcomes": spec.outcomes,
        "final_leaves": spec.final_leaves,
        "off_slots": core.off_slots,
        "slot_bytes": core.slot_bytes,
        "off_final": core.off_final,
        "off_template_ids": core.off_template_ids,
        "off_final_marks": core.off_final_marks,
        "off_infos": core.off_infos,
        "info_bytes": core.info_bytes,
        "off_actions": core.off_actions,
        "action_bytes": spec.config["action_bytes"],
    }


def attach(fd: int, spec: SegmentSpec) -> MappedSegment:
    """Maps a segment that another process made. Takes the file over.

    Raises:
        LayoutMismatch: it is not a segment of this version.
    """
    try:
        core = _core.Segment(mmap.mmap(fd, os.fstat(fd).st_size))
    except ValueError as error:
        raise LayoutMismatch(str(error)) from error
    finally:
        os.close(fd)
    return MappedSegment(spec, core, -1, time_slots=None)
