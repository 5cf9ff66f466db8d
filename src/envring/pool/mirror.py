# SPDX-License-Identifier: MIT
"""The rows of some envs in a segment as the bytes of a frame, at both ends of our wire.

Rows of fixed size are sent out of one segment and received into another, without a copy between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from envring._foreign.envring_worker.data import actions as codes
from envring._foreign.envring_worker.data.infos import ODD
from envring._foreign.envring_worker.data.obs import leaves
from envring.errors import WireError
from envring.transport import frames
from envring.transport.segment import MappedSegment

STEP_KINDS = (frames.STEP, frames.RESULT, frames.ARRAYS)  # what the short ways need to know
_SLAB_MARK = 1  # of a row in the final slab
_CELL_BYTES = {"f": 8, "i": 8, "b": 1}  # of info columns of Python's own types


Which: TypeAlias = slice | NDArray[np.int32]  # of the rows of a session's envs
ALL = slice(None)


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


def pack_ids(env_ids: NDArray[np.int32]) -> bytes:
    """Ids of some envs, in ascending order."""
    return np.array([len(env_ids), *env_ids], "<u4").tobytes()


def unpack_ids(data: memoryview, num_envs: int) -> tuple[NDArray[np.int32], memoryview]:
    """What `pack_ids` made, and the bytes after it.

    Raises:
        WireError: these are not ids of a session's envs.
    """
    head, data = _split(data, 4)
    count = int.from_bytes(head, "little")
    if not 1 <= count <= num_envs:
        raise WireError(f"{count} envs are named, of {num_envs}")
    found, data = _split(data, 4 * count)
    env_ids = np.frombuffer(found, "<u4").astype(np.int64)
    if env_ids[-1] >= num_envs or (np.diff(env_ids) <= 0).any():
        raise WireError("envs are not named once each, in ascending order")
    return env_ids.astype(np.int32), data


def which_of(env_ids: NDArray[np.int32]) -> Which:
    """Rows of envs, in ascending order: without a copy, where there is no gap."""
    first, end = int(env_ids[0]), int(env_ids[-1]) + 1
    return slice(first, end) if end - first == len(env_ids) else env_ids


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
        self._envs = np.arange(self._count, dtype=np.int32)
        self._columns: dict[int, list[Any]] = {}  # arrays (envs, bytes), by template id
        self.template_ids = segment.template_ids[rows]
        self.final_marks = segment.final_marks[rows]
        self._finals = [each[rows] for each in segment.final_arrays if each is not None]

    def arrays(self, slot: int) -> list[memoryview]:
        """The rows of a slot: observations, rewards, terminations, truncations."""
        views = self._slots.get(slot)
        if views is None:
            views = self._slots[slot] = [as_bytes(array) for array in self._rows_of(slot)]
        return views

    def _rows_of(self, slot: int) -> list[Any]:
        found, *outcomes = self._segment.slot_arrays(slot)
        each = [array[self._rows] for array in (*found, *outcomes) if array is not None]
        return [array for array in each if array.size]

    def some_arrays(self, slot: int, which: Which) -> list[memoryview]:
        """As `arrays`, of some envs; copies unless `which` is a slice."""
        return [as_bytes(np.ascontiguousarray(array[which])) for array in self._rows_of(slot)]

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
            data = self._unpack_infos(data, self._envs)
        elif self._has_ids:
            self.template_ids[...] = 0
        if flags & frames.FINALS:
            data = self._unpack_finals(data, self._envs)
        elif self._has_finals:
            self.final_marks[...] = 0
        self._has_ids, self._has_finals = bool(flags & frames.COLUMNS), bool(flags & frames.FINALS)
        return data

    def unpack_some(
        self, flags: int, data: memoryview, envs: NDArray[np.int32], slots: NDArray[np.intp]
    ) -> memoryview:
        """Stores the rows of some envs, infos and final observations, too; see `unpack`.

        Args:
            flags: what the bytes hold.
            data: the bytes.
            envs: rows of the envs here, in ascending order.
            slots: where the arrays of each go.
        """
        places = [(self._rows_of(slot), slots == slot) for slot in np.unique(slots).tolist()]
        for number, like in enumerate(places[0][0]):
            cells, data = _split(data, len(envs) * like[:1].nbytes)
            values = np.frombuffer(cells, like.dtype).reshape(-1, *like.shape[1:])
            for arrays, chosen in places:
                arrays[number][envs[chosen]] = values[chosen]
        self._has_ids = self._has_finals = True  # until all are overwritten
        self.template_ids[envs] = 0
        self.final_marks[envs] = 0
        if flags & frames.COLUMNS:
            data = self._unpack_infos(data, envs)
        if flags & frames.FINALS:
            data = self._unpack_finals(data, envs)
        return data

    def clear(self, envs: Sequence[int]) -> None:
        """Forgets infos and final observations of envs."""
        self.template_ids[envs] = 0
        self.final_marks[envs] = 0

    def set_odd(self, env_ids: Iterable[int]) -> None:
        """Notes that infos of the result that was unpacked last came in full."""
        for env_id in env_ids:
            self._segment.template_ids[env_id] = ODD
            self._has_ids = True

    # -- infos ------------------------------------------------------------------------------

    def pack_infos(self, template_ids: Any, which: Which = ALL) -> list[Any]:
        """Template ids and the cells of their columns, in the order of the ids.

        Args:
            template_ids: the ids as the peer numbers them.
            which: of which envs.
        """
        found = [template_ids.astype("<u2").tobytes()]
        envs, ids = self._envs[which], self.template_ids[which]
        for theirs in np.unique(template_ids).tolist():
            chosen = template_ids == theirs
            own = int(ids[chosen][0])
            found += [column[envs[chosen]].tobytes() for column in self._columns.get(own, ())]
        return found

    def _unpack_infos(self, data: memoryview, envs: NDArray[np.int32]) -> memoryview:
        """Stores what `pack_infos` made; returns the bytes after it.

        Raises:
            WireError: it is too short, or names a template that does not exist.
        """
        cells, data = _split(data, 2 * len(envs))
        ids = np.frombuffer(cells, "<u2")
        self.template_ids[envs] = ids
        for each in np.unique(ids).tolist():
            chosen = envs[ids == each]
            for column in self._columns.get(each, ()):
                cells, data = _split(data, len(chosen) * column.shape[1])
                column[chosen] = np.frombuffer(cells, np.uint8).reshape(len(chosen), -1)
        return data

    # -- final observations -----------------------------------------------------------------

    def pack_finals(self, which: Which = ALL) -> list[Any]:
        """Which envs have a final observation, and those that have a fixed size."""
        marks = self.final_marks[which]
        chosen = self._envs[which][marks == _SLAB_MARK]
        return [marks.tobytes(), *(array[chosen].tobytes() for array in self._finals)]

    def _unpack_finals(self, data: memoryview, envs: NDArray[np.int32]) -> memoryview:
        """Stores what `pack_finals` made; returns the bytes after it.

        Raises:
            WireError: it is too short.
        """
        cells, data = _split(data, len(envs))
        marks = np.frombuffer(cells, np.uint8)
        self.final_marks[envs] = marks
        chosen = envs[marks == _SLAB_MARK]
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

    def some(self, which: Which) -> list[memoryview]:
        """Actions of some envs, which are in the slab."""
        return [as_bytes(np.ascontiguousarray(rows[which])) for rows in self._arrays()]

    def put_some(self, env_ids: NDArray[np.int32], data: memoryview) -> None:
        """Stores what `some` gave. The rows of other envs stay as they are.

        Raises:
            WireError: it has another size, or actions never are in the slab.
        """
        arrays = self._arrays()
        if sum(rows.shape[1] for rows in arrays) * len(env_ids) != len(data):
            raise WireError(f"{len(env_ids)} envs have {len(data)} bytes of actions")
        for rows in arrays:
            cells, data = _split(data, len(env_ids) * rows.shape[1])
            rows[env_ids] = np.frombuffer(cells, np.uint8).reshape(len(env_ids), -1)

    def _arrays(self) -> list[NDArray[np.uint8]]:
        """Of each leaf the bytes of a row per env."""
        count = self._rows.stop - self._rows.start
        views = self.views(codes.SLAB)
        return [np.frombuffer(view, np.uint8).reshape(count, -1) for view in views]

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
