# SPDX-License-Identifier: MIT
"""Templates for infos: made by the caller, which owns the columns of the info area.

What a template is, as plain data, stands in `envring._foreign.envring_worker.data.infos`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from envring._foreign.envring_worker.data.infos import signature
from envring.errors import InfoError

__all__ = ["Column", "Node", "Template", "TemplateBook", "object_of", "rebuild"]

Entry: TypeAlias = tuple[Any, ...]
Template: TypeAlias = tuple[int, list[Entry]]
FinalObs: TypeAlias = Callable[[int], object]
Objects: TypeAlias = Mapping[int, Sequence[object]]

_Path: TypeAlias = tuple[str, ...]
_ColumnKey: TypeAlias = tuple[_Path, str, str, tuple[int, ...]]  # path, code, dtype, shape

MAX_TEMPLATES = 256
MAX_SHAPES = 8  # array columns of one key: what hardly repeats its shape deserves none
MAX_COLUMN_BYTES = 64 << 20
_MAX_SIGNATURES = 4 * MAX_TEMPLATES  # learnt and refused ones together
_ALIGN = 64
_BESIDE = -1  # the place of an object that is in no list: a final observation

_PLAIN: dict[str, tuple[str, type]] = {
    "f": (np.dtype(np.float64).str, float),
    "i": (np.dtype(np.int64).str, int),
    "b": (np.dtype(np.bool_).str, bool),
}


class Column:
    """A column of the info area.

    Attributes:
        dtype: Of the values.
        boolean: Whether that is bool.
        shape: Of one value.
        offset: In the info area, in bytes.
        view: The values, shape `(num_envs, *shape)`; bools as uint8, since what a worker wrote
            there need not be 0 or 1.
    """

    __slots__ = ("boolean", "dtype", "offset", "shape", "view")

    def __init__(
        self, key: _ColumnKey, num_envs: int, area: NDArray[np.uint8], offset: int
    ) -> None:
        self.dtype = np.dtype(key[2])
        self.shape = key[3]
        self.offset = offset
        self.boolean = self.dtype == np.bool_
        stored = np.dtype(np.uint8) if self.boolean else self.dtype
        self.view: NDArray[Any] = np.ndarray((num_envs, *self.shape), stored, area, offset)


@dataclass(eq=False)
class Node:
    """An entry of a template, as the caller reads it.

    Attributes:
        key: The key in its dict.
        code: The kind of entry.
        kind: What decides the batch's array; entries of one kind merge without any conversion.
        column: Where the values are, for entries that have a column.
        level: The entries of a nested dict.
        place: The index among the environment's objects, for entries that have one.
    """

    key: str
    code: str
    kind: object
    column: Column | None = None
    level: list[Node] = field(default_factory=list)
    place: int = _BESIDE


class _Columns:
    """All columns of the info area, allocated one after the other and never freed."""

    def __init__(
        self, num_envs: int, area: NDArray[np.uint8], reserve: Callable[[int], bool]
    ) -> None:
        self._num_envs = num_envs
        self._area = area
        self._reserve = reserve
        self._end = 0
        self._shapes: dict[_Path, int] = {}
        self._columns: dict[_ColumnKey, Column] = {}

    def __getitem__(self, key: _ColumnKey) -> Column:
        return self._columns[key]

    def add(self, keys: Iterable[_ColumnKey]) -> bool:
        """Make the columns among `keys` that do not exist; all of them, or none and False."""
        fresh: dict[_ColumnKey, int] = {}
        end = self._end
        for key in keys:
            path, code, dtype, shape = key
            if key in self._columns:
                continue
            if code == "a" and self._shapes.get(path, 0) >= MAX_SHAPES:
                return False
            size = self._num_envs * math.prod(shape) * np.dtype(dtype).itemsize
            if size > MAX_COLUMN_BYTES:
                return False
            fresh[key] = end
            end = -(-(end + size) // _ALIGN) * _ALIGN
        if end > self._area.nbytes or (end > self._end and not self._reserve(end)):
            return False
        self._end = end
        for key, offset in fresh.items():
            self._columns[key] = Column(key, self._num_envs, self._area, offset)
            if key[1] == "a":
                self._shapes[key[0]] = self._shapes.get(key[0], 0) + 1
        return True


class TemplateBook:
    """The templates of one vector environment, and how new ones are learnt.

    Attributes:
        templates: All templates made so far, in order.
    """

    def __init__(
        self, num_envs: int, area: NDArray[np.uint8], reserve: Callable[[int], bool]
    ) -> None:
        """Start without templates; see `envring.batch.infos.InfoAssembler` for the arguments."""
        self.templates: list[Template] = []
        self._columns = _Columns(num_envs, area, reserve)
        self._nodes: dict[int, list[Node]] = {}
        self._signatures: set[object] = set()

    def nodes(self, template_id: int, env: int) -> list[Node]:
        """Return the entries of template `template_id`, by which `env` sent its info.

        Raises:
            InfoError: If there is no such template.
        """
        if template_id not in self._nodes:
            raise InfoError(
                f"The info of env {env} names template {template_id}, which does not exist: the "
                "memory shared with its worker is damaged. Close this vector env and make a new "
                "one."
            )
        return self._nodes[template_id]

    def learn(self, odd: Mapping[int, object]) -> list[Template]:
        """Make templates for odd infos that would fit one; see `InfoAssembler.learn`."""
        made: list[Template] = []
        met: set[object] = set()
        for info in odd.values():
            # Whether a final observation travelled beside is not known: that variant comes first,
            # the other one when an info like this comes again although the first is announced.
            for final in (True, False) if type(info) is dict and "final_obs" in info else (False,):
                signed: Any = signature(info, final)
                if signed is None or signed in met:
                    break
                if signed in self._signatures:
                    continue
                if len(self.templates) == MAX_TEMPLATES or len(self._signatures) == _MAX_SIGNATURES:
                    return made
                self._signatures.add(signed)
                met.add(signed)
                if self._columns.add(_column_keys(signed)):
                    made.append(self._announce(signed))
                break
        return made

    def admit(self, signed: tuple[Entry, ...]) -> Template | None:
        """Make the template of a signature that another book has learnt; None without room."""
        if len(self.templates) == MAX_TEMPLATES or not self._columns.add(_column_keys(signed)):
            return None
        return self._announce(signed)

    def _announce(self, signed: tuple[Entry, ...]) -> Template:
        """Give the template of a signature, whose columns exist, an id."""
        template_id = len(self.templates) + 1
        self._nodes[template_id] = []
        template = (template_id, self._entries(signed, (), self._nodes[template_id], count()))
        self.templates.append(template)
        return template

    def _entries(
        self, parts: Iterable[Entry], path: _Path, nodes: list[Node], places: Iterator[int]
    ) -> list[Entry]:
        """Add offsets to one level of a signature, and describe the level in `nodes`."""
        entries: list[Entry] = []
        for code, key, *rest in parts:
            node = Node(key, code, "object")
            entry: Entry = (code, key)
            if code == "d":
                node.kind = "dict"
                entry = ("d", key, self._entries(rest[0], (*path, key), node.level, places))
            elif code == "o":
                node.place = next(places)
            elif code != "F":
                node.column = column = self._columns[next(_column_keys([(code, key, *rest)], path))]
                node.kind = (column.dtype.str, column.shape)
                entry = (code, key, column.offset, *rest)
            nodes.append(node)
            entries.append(entry)
        return entries


def _column_keys(parts: Iterable[Entry], path: _Path = ()) -> Iterator[_ColumnKey]:
    """Name the columns that the entries of a signature need."""
    for code, key, *rest in parts:
        here = (*path, key)
        if code == "d":
            yield from _column_keys(rest[0], here)
        elif code in _PLAIN:
            yield here, code, _PLAIN[code][0], ()
        elif code in ("n", "a"):
            yield here, code, rest[0], rest[1] if code == "a" else ()


def object_of(objects: Objects, env: int, place: int, final_obs: FinalObs) -> object:
    """Return the value of environment `env` at `place` among its objects.

    Raises:
        InfoError: If its worker did not send that many.
    """
    if place == _BESIDE:
        return final_obs(env)
    try:
        return objects[env][place]
    except (LookupError, TypeError) as error:
        raise InfoError(
            f"The reply of its worker lacks object {place} of the info of env {env}. "
            "Close this vector env and make a new one."
        ) from error


def rebuild(nodes: list[Node], env: int, objects: Objects, final_obs: FinalObs) -> dict[str, Any]:
    """Return the info dict, in its original types, that environment `env` sent by a template."""
    info: dict[str, Any] = {}
    for node in nodes:
        column = node.column
        if node.code == "d":
            info[node.key] = rebuild(node.level, env, objects, final_obs)
        elif column is None:
            info[node.key] = object_of(objects, env, node.place, final_obs)
        elif node.code in _PLAIN:
            info[node.key] = _PLAIN[node.code][1](column.view.item(env))
        elif node.code == "n":
            info[node.key] = column.view[env]
        else:  # by a slice, as a 0-d array would become a scalar
            info[node.key] = column.view[env : env + 1].reshape(column.shape).astype(column.dtype)
    return info
