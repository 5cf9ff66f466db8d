# SPDX-License-Identifier: MIT
"""The rows of some envs in a segment as the bytes of a frame, at both ends of our wire.

Rows of fixed size are sent out of one segment and received into another, without a copy between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from envring._foreign.envring_worker.data import actions as codes
from envring._foreign.envring_worker.data.infos import ODD
from envring._foreign.envring_worker.data.obs import leaves
from envring.errors import WireError
from envring.transport import frames
from envring.transport.segment import MappedSegment

STEP_KINDS = (frames.STEP, frames.RESULT, frames.ARRAYS)  # what the short ways need to know
_SLAB_MARK = 1  # of a row in the final slab
_CELL_BYTES = {"f": 8, "i": 8, "b": 1}  # of info columns of Python's own types


def as_bytes(array: Any) -> memoryview:
    """A contiguous array's bytes."""
    return memoryview(array.reshape(-1).view(np.uint8))


def columns(entries: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """(offset, bytes of one env's value) of the columns of a template's entries."""
    for kind, _, *rest in entries:
        if kind == "d":
            yield from columns(rest[0])
        elif kind in _CELL_BYTES:
            yield rest[0], _CELL_BYTES[kind]
        elif kind in ("n", "a"):
            offset, dtype, *shape = rest
            yield offset, np.dtype(dtype).itemsize * (math.prod(shape[0]) if shape else 1)


class Mirror:
    """Rows of a segment.

    Args:
        segment: the segment.
        rows: of which envs.
    """

    def __init__(self, segment: MappedSegment, rows: slice) -> None:
        """Has no templates yet."""
        self._segment = segment
        self._rows = rows
        self._count = rows.stop - rows.start
        self._has_ids = self._has_finals = False
        self._slots: dict[int, list[memoryview]] = {}
        self._columns: dict[int, list[Any]] = {}  # arrays (envs, bytes), by template id
        self.template_ids = segment.template_ids[rows]
        self.final_marks = segment.final_marks[rows]
        self._finals = [each[rows] for each in segment.final_arrays if each is not None]

    def arrays(self, slot: int) -> list[memoryview]:
        """The rows of a slot: observations, rewards, terminations, truncations."""
        views = self._slots.get(slot)
        if views is None:
            found, *outcomes = self._segment.slot_arrays(slot)
            each = [array[self._rows] for array in (*found, *outcomes) if array is not None]
            views = self._slots[slot] = [as_bytes(array) for array in each if array.size]
        return views

    def add_template(self, template_id: int, entries: Sequence[Any]) -> None:
        """Knows the columns of a template from now on."""
        area, total = self._segment.info_area, self._segment.core.num_envs
        self._columns[template_id] = [
            area[at : at + total * nbytes].reshape(total, nbytes)[self._rows]
            for at, nbytes in columns(entries)
        ]

    def unpack(self, flags: int, data: memoryview) -> memoryview:
        """Stores infos and final observations of a result; returns the bytes after them.

        Raises:
            WireError: they are malformed.
        """
        if flags & frames.COLUMNS:
            data = self._unpack_infos(data)
        elif self._has_ids:
            self.template_ids[...] = 0
        if flags & frames.FINALS:
            data = self._unpack_finals(data)
        elif self._has_finals:
            self.final_marks[...] = 0
        self._has_ids, self._has_finals = bool(flags & frames.COLUMNS), bool(flags & frames.FINALS)
        return data

    def set_odd(self, env_ids: Iterable[int]) -> None:
        """Notes that infos of the result that was unpacked last came in full."""
        for env_id in env_ids:
            self._segment.template_ids[env_id] = ODD
            self._has_ids = True

    # -- infos ------------------------------------------------------------------------------

    def pack_infos(self, template_ids: Any) -> list[Any]:
        """Template ids and the cells of their columns, in the order of the ids.

        Args:
            template_ids: the ids as the peer numbers them.
        """
        found = [template_ids.astype("<u2").tobytes()]
        for theirs in np.unique(template_ids).tolist():
            chosen = template_ids == theirs
            own = int(self.template_ids[chosen][0])
            found += [column[chosen].tobytes() for column in self._columns.get(own, ())]
        return found

    def _unpack_infos(self, data: memoryview) -> memoryview:
        """Stores what `pack_infos` made; returns the bytes after it.

        Raises:
            WireError: it is too short, or names a template that does not exist.
        """
        ids, data = _split(data, 2 * self._count)
        self.template_ids[...] = np.frombuffer(ids, "<u2")
        for each in np.unique(self.template_ids).tolist():
            chosen = np.flatnonzero(self.template_ids == each)
            for column in self._columns.get(each, ()):
                cells, data = _split(data, len(chosen) * column.shape[1])
                column[chosen] = np.frombuffer(cells, np.uint8).reshape(len(chosen), -1)
        return data

    # -- final observations -----------------------------------------------------------------

    def pack_finals(self) -> list[Any]:
        """Which envs have a final observation, and those that have a fixed size."""
        chosen = self.final_marks == _SLAB_MARK
        return [self.final_marks.tobytes(), *(array[chosen].tobytes() for array in self._finals)]

    def _unpack_finals(self, data: memoryview) -> memoryview:
        """Stores what `pack_finals` made; returns the bytes after it.

        Raises:
            WireError: it is too short.
        """
        marks, data = _split(data, self._count)
        self.final_marks[...] = np.frombuffer(marks, np.uint8)
        chosen = np.flatnonzero(self.final_marks == _SLAB_MARK)
        for array in self._finals:
            cells, data = _split(data, len(chosen) * array[:1].nbytes)
            array[chosen] = np.frombuffer(cells, array.dtype).reshape(-1, *array.shape[1:])
        return data


def _split(data: memoryview, count: int) -> tuple[memoryview, memoryview]:
    if len(data) < count:
        raise WireError(f"a batch ends {count - len(data)} bytes too early")
    return data[:count], data[count:]


class ActionRows:
    """The actions of some envs in a segment's slab, as the bytes of a frame.

    Args:
        plan: of the single action space; None if actions always are messages.
        slab: uint8 array over the slab, which holds the actions of all envs.
        num_envs: number of them.
        rows: the envs whose actions travel.

    Attributes:
        are_in_slab: whether some are; else all are messages.
    """

    def __init__(self, plan: Any, slab: Any, num_envs: int, rows: slice) -> None:
        """Looks at the plan once."""
        self._slab = slab
        self._num_envs = num_envs
        self._rows = rows
        found = [] if plan is None else leaves(plan)
        self._leaf = found[0] if len(found) == 1 and plan[0] == "leaf" else None
        self.are_in_slab = plan is not None
        self._views: dict[int, list[memoryview]] = {codes.RESET: []}
        if plan is not None:
            self._views[codes.SLAB] = self._leaf_rows(found)

    def _leaf_rows(self, found: Sequence[Any]) -> list[memoryview]:
        views, at = [], 0
        for _, _, dtype, shape in found:
            row = np.dtype(dtype).itemsize * math.prod(shape)
            views.append(self._bytes(at, row))
            at += -(-row * self._num_envs // codes.ALIGNMENT) * codes.ALIGNMENT
        return [view for view in views if view.nbytes]

    def _bytes(self, at: int, row: int) -> memoryview:
        return memoryview(self._slab[at + self._rows.start * row : at + self._rows.stop * row])

    def views(self, code: int) -> list[memoryview]:
        """Where the actions of a code are.

        Raises:
            WireError: there is no such code for this action space.
        """
        views = self._views.get(code)
        if views is None:
            views = self._views[code] = [self._bytes(0, self._row_of(code))]
        return views

    def _row_of(self, code: int) -> int:
        """Bytes of one action that is not of the space's dtype."""
        plain = code & ~codes.PYTHON_NUMBERS
        kind, size = chr(plain >> 8 & 0xFF), plain & 0xFF
        try:
            dtype = np.dtype(f"{kind}{size}")
        except TypeError:
            dtype = None
        # some sizes are taken for others: "i3" is an error, "f0" is none
        known = dtype is not None and dtype.kind in "biufc" and dtype.itemsize == size
        if self._leaf is None or not known or plain >> 16:
            raise WireError(f"{code} is not a way in which actions of these envs travel")
        row: int = size * math.prod(self._leaf[3])
        if row * self._num_envs > self._slab.nbytes:
            raise WireError(f"actions of code {code} need more room than there is")
        return row
