# SPDX-License-Identifier: MIT
"""Info columns, worker side: the values of known info dicts are written to shared memory.

A *template* is plain data, `(template_id, entries)`, made by the caller for one shape of info
dict that it has seen. Its entries follow the dict's key order:

===================================  ==============================================================
`("f", key, offset)`                 exactly a Python float, in a float64 column
`("i", key, offset)`                 exactly a Python int within int64, in an int64 column
`("b", key, offset)`                 exactly a Python bool, in a uint8 column
`("n", key, offset, dtype)`          exactly a numpy number scalar of that dtype
`("a", key, offset, dtype, shape)`   exactly an ndarray of that native dtype and shape, in C order
`("d", key, entries)`                exactly a dict, nested
`("o", key)`                         what `VectorEnv._add_info` keeps as an object
`("F", key)`                         the top-level `final_obs`, whose value is sent separately
===================================  ==============================================================

A column holds one value per environment of the whole batch, at `offset + env * itemsize` in the
info area. An info dict without a template is *odd*: it is sent whole, and the caller may make
a template for it.
"""
from __future__ import absolute_import, division, print_function

import sys

import numpy as np

EMPTY = 0  #: template id of an empty info dict
ODD = 0xFFFF  #: template id of an info dict that travels whole
MAX_DEPTH = 8  #: levels of dicts below the info dict itself
MAX_ENTRIES = 512  #: keys in all levels together

_LONG = type(1 << 80)  # `long` where that is another type than `int`
_TEXT = (str, type(u""))
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_PLAIN = {float: "f", int: "i", _LONG: "i", bool: "b"}
_COLUMN = {
    "f": (float, np.dtype(np.float64)),
    "i": (int, np.dtype(np.int64)),
    "b": (bool, np.dtype(np.uint8)),
}
_TYPED_VIEWS = sys.version_info[0] >= 3  # memoryviews that know item formats

_intern = getattr(sys, "intern", lambda text: text)


def _scalar_names():
    """Map each numpy number type that its own dtype string names again to that string."""
    names = {}
    for code in np.typecodes["AllInteger"] + np.typecodes["AllFloat"]:
        dtype = np.dtype(code)
        if np.dtype(dtype.str).type is dtype.type:  # not np.longlong, which becomes np.int64
            names[dtype.type] = dtype.str
    return names


_SCALARS = _scalar_names()


def _canonical(dtype):
    """Return whether `np.dtype(dtype.str)` is exactly this dtype, and a column can have it."""
    return (
        (dtype.type in _SCALARS or dtype.type is np.bool_)
        and dtype.isnative
        and dtype.metadata is None
    )


def _value_part(key, value):
    """Describe one value that is not a dict; None if it is neither for a column nor an object."""
    kind = type(value)
    code = _PLAIN.get(kind)
    if code is not None:
        if code == "i" and not _INT64_MIN <= value <= _INT64_MAX:
            return None
        return (code, key)
    if kind in _SCALARS:
        return ("n", key, _SCALARS[kind])
    if kind is np.ndarray:
        dtype = value.dtype
        return ("a", key, dtype.str, value.shape) if _canonical(dtype) else None
    if isinstance(value, (np.number, np.ndarray, dict)):
        return None  # subclasses, timedelta64, ...: batching depends on the original type
    return ("o", key)


def _level(info, depth, has_final, room):
    """Describe one level of dicts; `room` is a one-element list of entries still allowed."""
    room[0] -= len(info)
    if depth > MAX_DEPTH or room[0] < 0:
        return None
    parts = []
    for key, value in info.items():
        if type(key) not in _TEXT or "_" + key in info:
            return None
        if key == "final_obs":  # never batched, at any level
            part = ("F" if has_final else "o", key)
        elif type(value) is dict:
            nested = _level(value, depth + 1, False, room)
            part = None if nested is None else ("d", key, nested)
        else:
            part = _value_part(key, value)
        if part is None:
            return None
        parts.append(part)
    return tuple(parts)


def signature(info, has_final=False):
    """Describe an info dict by its entries without offsets.

    Args:
        info: The info dict.
        has_final: Whether the value under the top-level `final_obs` is sent separately.

    Returns:
        A hashable tuple of entries, nested for nested dicts, or None if the dict is odd
        (arrays of other kinds, keys `x` and `_x` together, too deep, too large, ...).
    """
    if type(info) is not dict:
        return None
    return _level(info, 0, has_final, [MAX_ENTRIES])


def template_signature(entries):
    """Return the signature of the info dicts that a template's `entries` describe."""
    parts = []
    for entry in entries:
        code, key = entry[0], entry[1]
        if code == "d":
            parts.append((code, key, template_signature(entry[2])))
        elif code == "n":
            parts.append((code, key, str(entry[3])))
        elif code == "a":
            parts.append((code, key, str(entry[3]), tuple(entry[4])))
        else:
            parts.append((code, key))
    return tuple(parts)


class _Program(object):
    """A template, compiled for writing."""

    __slots__ = ("final", "objects", "ops", "template_id")

    def __init__(self, template_id, ops, final, objects):
        self.template_id = template_id
        self.ops = ops
        self.final = final
        self.objects = objects


class InfoWriter(object):
    """Writes the infos of one worker's slice of environments, one batch at a time.

    Attributes:
        templates: The templates announced so far, in that order.
        objects: Of this batch: environment id to the list of its object values, in entry order
            (nested levels in place), for those whose template has `"o"` entries.
        odd: Of this batch: environment id to the info (a dict or anything else that the
            environment returned) that is sent whole.
    """

    def __init__(self, first_env, num_envs_in_slice, template_ids, area):
        """Prepare for writing.

        Args:
            first_env: Global id of the first environment of the slice.
            num_envs_in_slice: How many environments the slice has.
            template_ids: Writable uint16 array over *all* environments, shape `(num_envs,)`.
            area: Writable flat uint8 array over the info area; may be larger than the memory
                behind it, because columns are touched only after a template names them.
        """
        self.template_ids = template_ids
        self.area = area
        self.templates = []
        self.objects = {}
        self.odd = {}
        self._first = first_env
        self._stop = first_env + num_envs_in_slice
        self._template_id_cells = _cells(template_ids)
        self._programs = {}
        self._last = [None] * num_envs_in_slice

    def add_template(self, template):
        """Use `template` from the next `write` on.

        Raises:
            ValueError: A column is not inside the info area, or a kind is unknown.
        """
        template_id, entries = template
        ops = self._compile(entries)
        signed = template_signature(entries)
        final = any(part[0] == "F" for part in signed)
        self._programs[signed] = _Program(template_id, ops, final, _count_objects(signed))
        self.templates.append(template)

    def begin(self):
        """Start a batch: every environment of the slice has an empty info until written.

        `objects` and `odd` are emptied in place: use what they hold before this.
        """
        self.template_ids[self._first : self._stop] = EMPTY
        self.objects.clear()
        self.odd.clear()

    def begin_one(self, env_id):
        """The same of one environment, where each has a reply of its own."""
        self.template_ids[env_id] = EMPTY

    def write(self, env_id, info, has_final=False):
        """Write one environment's info of this batch; at most once per environment and batch.

        Args:
            env_id: Global id of the environment.
            info: Its complete info dict. Anything that is not a dict is passed on as odd.
            has_final: Whether the value under the top-level `final_obs` is sent separately, so
                that only the key is recorded here. An odd dict keeps the value nevertheless.
        """
        if type(info) is dict:
            if not info:
                return
            slot = env_id - self._first
            program = self._last[slot]
            if (
                program is not None
                and program.final == has_final
                and self._store(program, env_id, info)
            ):
                return
            signed = signature(info, has_final)
            if signed is not None:
                program = self._programs.get(signed)
                if program is not None and self._store(program, env_id, info):
                    self._last[slot] = program
                    return
        elif isinstance(info, dict) and not info:
            return
        self.write_whole(env_id, info)

    def write_whole(self, env_id, info):
        """Notes an info that is sent whole, whatever it is."""
        self.odd[env_id] = info
        self._template_id_cells[env_id] = ODD

    def take_whole(self, env_id):
        """Undoes `write_whole`; returns the info, {} if there is none."""
        self._template_id_cells[env_id] = EMPTY
        return self.odd.pop(env_id, {})

    def _store(self, program, env_id, info):
        """Write `info` by `program`; return False if it does not fit."""
        values = []
        try:
            if not _fill(program.ops, info, env_id, values):
                return False
        except (OverflowError, ValueError):  # an int beyond int64
            return False
        if program.objects:
            self.objects[env_id] = values
        self._template_id_cells[env_id] = program.template_id
        return True

    def _compile(self, entries):
        """Turn entries into `(key, type, cells, extra)` tuples for `_fill`."""
        ops = []
        for entry in entries:
            code, key = entry[0], entry[1]
            if type(key) is str:
                key = _intern(key)
            if code in _COLUMN:
                kind, dtype = _COLUMN[code]
                ops.append((key, kind, _cells(self._column(entry[2], dtype, ())), None))
            elif code == "n":
                dtype = np.dtype(str(entry[3]))
                ops.append((key, dtype.type, self._column(entry[2], dtype, ()), None))
            elif code == "a":
                dtype, shape = np.dtype(str(entry[3])), tuple(entry[4])
                column = self._column(entry[2], dtype, shape)
                ops.append((key, np.ndarray, column, (dtype, shape)))
            elif code == "d":
                ops.append((key, dict, None, self._compile(entry[2])))
            elif code in ("o", "F"):
                ops.append((key, None, None, code))
            else:
                raise ValueError("unknown kind %r of info entry %r" % (code, key))
        return tuple(ops)

    def _column(self, offset, dtype, shape):
        """Return the column at `offset` as an array of shape `(num_envs,) + shape`."""
        full = (len(self.template_ids),) + shape
        size = dtype.itemsize
        for length in full:
            size *= int(length)
        if offset < 0 or offset + size > len(self.area):
            raise ValueError(
                "info column at %d of %d bytes is outside the info area of %d bytes"
                % (offset, size, len(self.area))
            )
        return np.ndarray(full, dtype, buffer=self.area, offset=offset)


def _count_objects(parts):
    """Count the object values of a signature."""
    return sum(
        _count_objects(part[2]) if part[0] == "d" else int(part[0] == "o") for part in parts
    )


def _cells(column):
    """Return the fastest object for setting single cells of a one-dimensional column."""
    if _TYPED_VIEWS and column.flags.aligned:
        return memoryview(column)
    return column


def _fill(ops, info, env_id, values):
    """Write `info` cell by cell, add its objects to `values`; return False if it does not fit."""
    if len(info) != len(ops):
        return False
    for (key, kind, cells, extra), (name, value) in zip(ops, info.items()):
        if name is not key and (type(name) not in _TEXT or name != key):
            return False
        found = type(value)
        if found is kind:
            if extra is None:
                cells[env_id] = value
            elif found is dict:
                if not _fill(extra, value, env_id, values):
                    return False
            else:
                dtype, shape = extra
                given = value.dtype
                if value.shape != shape or (
                    given is not dtype and not (given == dtype and _canonical(given))
                ):
                    return False
                cells[env_id] = value
        elif kind is None:
            if extra == "o":
                if key != "final_obs":
                    part = _value_part(key, value)
                    if part is None or part[0] != "o":
                        return False
                values.append(value)
        elif kind is int and found is _LONG:  # Python 2
            cells[env_id] = value
        else:
            return False
    return True
