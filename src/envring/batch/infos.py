# SPDX-License-Identifier: MIT
"""Info columns, caller side: from what the workers wrote to Gymnasium's batched infos.

The result is always what feeding every environment's info dict, in order, through
`gymnasium.vector.VectorEnv._add_info` gives: same dtypes, masks, key order, same failures. Where
the templates of a batch agree about every key it is copied column by column; otherwise the info
dicts are rebuilt and do go through `_add_info`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from envring._foreign.envring_worker.data.infos import EMPTY, ODD
from envring.batch.templates import (
    Column,
    FinalObs,
    Node,
    Objects,
    Template,
    TemplateBook,
    object_of,
    rebuild,
)
from envring.errors import InfoError, format_env_ids

__all__ = ["AddInfo", "InfoAssembler", "Template"]

AddInfo: TypeAlias = Callable[[dict[str, Any], dict[str, Any], int], dict[str, Any]]

_Array: TypeAlias = NDArray[Any]
_Envs: TypeAlias = NDArray[np.intp]
# key, mask key, makes the value, makes the mask, whether the value needs objects and final_obs
_Op: TypeAlias = tuple[str, str, Callable[..., Any], Callable[[], _Array], bool]

_MAX_RECIPES = 1024
_MAX_NAMED = 16  # keys of a path in a message


@dataclass(eq=False)
class _Leaf:
    """A key of the batch, and where the templates that have it (by template_id) keep its values."""

    kind: object
    template_ids: tuple[int, ...] = ()
    columns: dict[Column, tuple[int, ...]] = field(default_factory=dict)
    levels: list[tuple[int, list[Node]]] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    merged: dict[str, _Leaf] = field(default_factory=dict)


class _PlainBatch:
    """What `VectorEnv._add_info` needs of a vector environment."""

    _add_info = VectorEnv._add_info

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs


class InfoAssembler:
    """Batches the infos of one vector environment, and learns templates from odd infos."""

    def __init__(
        self, num_envs: int, area: NDArray[np.uint8], reserve: Callable[[int], bool]
    ) -> None:
        """Prepare for batches of `num_envs` infos.

        Args:
            num_envs: Number of environments.
            area: Flat uint8 array over the info area at its largest size, in bytes; only touched
                where `reserve` has agreed.
            reserve: Called with a total size in bytes; backs that much of the area's beginning
                with memory, or returns False where there is no more.
        """
        self._num_envs = num_envs
        self._book = TemplateBook(num_envs, area, reserve)
        self._recipes: dict[tuple[int, ...], dict[str, _Leaf] | None] = {}
        self._plain: AddInfo = _PlainBatch(num_envs)._add_info  # type: ignore[misc]
        self._nones = np.full(num_envs, None, dtype=object)
        self._empty = np.full(num_envs, EMPTY, dtype=np.uint16).tobytes()
        # What the last plan is for: most batches use the same templates as the one before.
        self._batch = self._empty
        self._plan: list[_Op] | None = []

    @property
    def templates(self) -> list[Template]:
        """All templates made so far, in order; a new worker needs every one of them."""
        return self._book.templates

    def learn(self, odd: Mapping[int, object]) -> list[Template]:
        """Make templates for odd infos, where they would fit one.

        Args:
            odd: Environment id to info, as for `assemble`.

        Returns:
            The new templates, to be announced to every worker before its next command. None
            are made once the budget of templates or of memory is used up.
        """
        return self._book.learn(odd)

    def assemble(
        self,
        template_ids: NDArray[np.uint16],
        objects: Objects,
        odd: Mapping[int, Any],
        final_obs: FinalObs,
        add_info: AddInfo | None = None,
    ) -> dict[str, Any]:
        """Return the batched infos of one batch, in arrays of their own.

        Args:
            template_ids: Template ids, shape `(num_envs,)`, as the workers wrote them.
            objects: Environment id to its object values, from all workers.
            odd: Environment id to the info that travelled whole, from all workers.
            final_obs: Returns the final observation of an environment; called once for each
                environment whose template announces one.
            add_info: A bound method in place of `VectorEnv._add_info`; every environment's
                info dict is then fed through it, and what it raises is passed on.

        Raises:
            InfoError: If infos do not batch (naming the key and the environments, with
                Gymnasium's error as cause), an environment's info is not a dict, or a worker
                sent something impossible. The next batch is not affected.
        """
        batch = template_ids.tobytes()
        if add_info is None:
            if batch == self._empty:
                return {}
            if batch != self._batch:
                self._bind(batch)
            if self._plan is not None:
                return _run(self._plan, objects, final_obs)
        infos = [
            self.info(env, template_id, objects, odd, final_obs)
            for env, template_id in enumerate(np.frombuffer(batch, np.uint16).tolist())
        ]
        batched: dict[str, Any] = {}
        if add_info is not None:
            for env, info in enumerate(infos):
                batched = add_info(batched, info, env)
            return batched
        for env, info in enumerate(infos):
            try:
                batched = self._plain(batched, info, env)
            except Exception as error:
                raise self._conflict(infos, env, error) from error
        return batched

    def assemble_some(
        self,
        env_ids: NDArray[np.int32],
        template_ids: NDArray[np.uint16],
        objects: Objects,
        odd: Mapping[int, Any],
        final_obs: FinalObs,
    ) -> dict[str, Any]:
        """As `assemble`, of some envs: a row per env in the order of `env_ids`.

        An overridden `VectorEnv._add_info`, which is made for all envs, is not used.
        """
        order = template_ids[env_ids]
        if not order.any():
            return {}
        ids = env_ids.tolist()
        recipe = self._recipe(order, ids)
        if recipe is not None:
            return _some(recipe, order, env_ids, objects, final_obs)
        plain: AddInfo = _PlainBatch(len(ids))._add_info  # type: ignore[misc]
        batched: dict[str, Any] = {}
        for row, (env, template_id) in enumerate(zip(ids, order.tolist(), strict=True)):
            info = self.info(env, template_id, objects, odd, final_obs)
            try:
                batched = plain(batched, info, row)
            except Exception as error:
                raise InfoError(
                    f"Infos of {format_env_ids(ids)} do not batch: that of env {env} does not fit "
                    f"the others ({type(error).__name__}: {error}). Give one type and shape to "
                    "each key in every env, or leave it out."
                ) from error
        return batched

    def info(
        self,
        env: int,
        template_id: int,
        objects: Objects,
        odd: Mapping[int, Any],
        final_obs: FinalObs,
    ) -> Any:
        """Return one environment's info as the environment returned it."""
        if template_id == EMPTY:
            return {}
        if template_id != ODD:
            return rebuild(self._book.nodes(template_id, env), env, objects, final_obs)
        if env not in odd:
            raise InfoError(
                f"The reply of its worker lacks the info of env {env}. "
                "Close this vector env and make a new one."
            )
        info = odd[env]
        if not callable(getattr(info, "items", None)):
            raise InfoError(
                f"Env {env} returned an info of type {type(info).__name__}. "
                "Return a dict, {} where there is nothing to tell."
            )
        return info

    def _bind(self, batch: bytes) -> None:
        """Make the plan for a batch's templates; None where infos have to be fed one by one."""
        order = np.frombuffer(batch, np.uint16)
        recipe = self._recipe(order, range(self._num_envs))
        self._plan = None if recipe is None else self._ops(recipe, order, {})
        self._batch = batch

    def _recipe(self, order: NDArray[np.uint16], ids: Sequence[int]) -> dict[str, _Leaf] | None:
        """How to batch infos of these templates; None where they have to be fed one by one."""
        present = tuple(
            template_id for template_id in dict.fromkeys(order.tolist()) if template_id != EMPTY
        )
        if ODD in present:
            return None
        if present not in self._recipes:
            an_env = {each: ids[int(np.argmax(order == each))] for each in present}
            levels = [(each, self._book.nodes(each, env)) for each, env in an_env.items()]
            if len(self._recipes) == _MAX_RECIPES:
                self._recipes.clear()
            self._recipes[present] = _merge(levels)
        return self._recipes[present]

    def _ops(
        self,
        leaves: dict[str, _Leaf],
        order: NDArray[np.uint16],
        holders: dict[tuple[int, ...], tuple[_Array, _Envs]],
    ) -> list[_Op]:
        """Bind one level of a recipe to the environments that hold each template."""
        ops: list[_Op] = []
        for key, leaf in leaves.items():
            mask, envs = _holders(leaf.template_ids, order, holders)
            make: Callable[..., Any]
            if leaf.kind == "dict":
                make = partial(_run, self._ops(leaf.merged, order, holders))
            elif leaf.kind == "object":
                places = [(env, leaf.places[int(order[env])]) for env in envs.tolist()]
                make = partial(_gather_objects, self._nones, places)
            elif len(leaf.columns) == 1 and len(envs) == self._num_envs:
                (column,) = leaf.columns
                make = partial(np.not_equal, column.view, 0) if column.boolean else column.view.copy
            else:
                sources = [
                    (column.view, _holders(template_ids, order, holders)[1])
                    for column, template_ids in leaf.columns.items()
                ]
                column = next(iter(leaf.columns))
                make = partial(_gather, column.view.shape, column.dtype, sources)
            ops.append((key, "_" + key, make, mask.copy, not leaf.columns))
        return ops

    def _conflict(self, infos: list[Any], env: int, error: Exception) -> InfoError:
        """Say which key of environment `env` does not batch with which environments."""
        batched: Any = {}
        for other, info in enumerate(infos[:env]):
            self._plain(batched, info, other)
        path: list[Any] = []
        level = infos[env]
        while isinstance(level, dict) and len(path) < _MAX_NAMED:
            for key, value in level.items():
                try:
                    self._plain(batched, {key: value}, env)
                except Exception:
                    break
            else:
                break
            path.append(key)
            batched = batched.get(key, {})
            level = value if isinstance(batched, dict) else None
        others = [other for other in range(env) if _has(infos[other], path)]
        among = f"the array begun by {format_env_ids(others)}" if others else "an array"
        return InfoError(
            f"Infos do not batch: {'.'.join(map(str, path))!r} of env {env} does not fit {among} "
            f"({type(error).__name__}: {error}). Give one type and shape to this key in every env, "
            "or leave it out."
        )


def _has(info: Any, path: Sequence[Any]) -> bool:
    """Whether the nested dict `info` has the key at `path`."""
    for key in path:
        if not isinstance(info, dict) or key not in info:
            return False
        info = info[key]
    return True


def _merge(levels: Iterable[tuple[int, list[Node]]]) -> dict[str, _Leaf] | None:
    """Merge templates, in order, as far as nothing is converted; None where they conflict."""
    leaves: dict[str, _Leaf] = {}
    for template_id, nodes in levels:
        for node in nodes:
            leaf = leaves.setdefault(node.key, _Leaf(node.kind))
            if leaf.kind != node.kind:
                return None
            leaf.template_ids += (template_id,)
            leaf.levels.append((template_id, node.level))
            leaf.places[template_id] = node.place
            if node.column is not None:
                leaf.columns[node.column] = (*leaf.columns.get(node.column, ()), template_id)
    for key, leaf in leaves.items():
        merged = _merge(leaf.levels)
        if merged is None or "_" + key in leaves:
            return None
        leaf.merged = merged
    return leaves


def _holders(
    template_ids: tuple[int, ...],
    order: NDArray[np.uint16],
    holders: dict[tuple[int, ...], tuple[_Array, _Envs]],
) -> tuple[_Array, _Envs]:
    """Return the mask and the ids of the environments whose template is among `template_ids`."""
    found = holders.get(template_ids)
    if found is None:
        mask = order == template_ids[0]
        for template_id in template_ids[1:]:
            mask |= order == template_id
        found = holders[template_ids] = mask, mask.nonzero()[0]
    return found


def _some(
    leaves: dict[str, _Leaf],
    order: NDArray[np.uint16],
    env_ids: NDArray[np.int32],
    objects: Objects,
    final_obs: FinalObs,
) -> dict[str, Any]:
    """One level of a recipe for some envs."""
    holders: dict[tuple[int, ...], tuple[_Array, _Envs]] = {}
    batched: dict[str, Any] = {}
    for key, leaf in leaves.items():
        mask, rows = _holders(leaf.template_ids, order, holders)
        value: Any
        if leaf.kind == "dict":
            value = _some(leaf.merged, order, env_ids, objects, final_obs)
        elif leaf.kind == "object":
            value = np.full(len(env_ids), None, dtype=object)
            for row in rows.tolist():
                place = leaf.places[int(order[row])]
                value[row] = object_of(objects, int(env_ids[row]), place, final_obs)
        else:
            column = next(iter(leaf.columns))
            value = np.zeros((len(env_ids), *column.view.shape[1:]), column.dtype)
            for source, template_ids in leaf.columns.items():
                rows = _holders(template_ids, order, holders)[1]
                value[rows] = source.view[env_ids[rows]]
        batched[key] = value
        batched["_" + key] = mask.copy()
    return batched


def _run(ops: list[_Op], objects: Objects, final_obs: FinalObs) -> dict[str, Any]:
    """Carry out one level of a plan."""
    batched: dict[str, Any] = {}
    for key, mask_key, make, make_mask, beside in ops:
        batched[key] = make(objects, final_obs) if beside else make()
        batched[mask_key] = make_mask()
    return batched


def _gather(
    shape: tuple[int, ...], dtype: np.dtype[Any], sources: list[tuple[_Array, _Envs]]
) -> _Array:
    """Return zeros with the rows of `sources` filled in."""
    batch = np.zeros(shape, dtype)
    for view, envs in sources:
        batch[envs] = view[envs]
    return batch


def _gather_objects(
    nones: _Array, places: list[tuple[int, int]], objects: Objects, final_obs: FinalObs
) -> _Array:
    """Return an object array with the values of the (environment, place) pairs filled in."""
    batch = nones.copy()
    for env, place in places:
        batch[env] = object_of(objects, env, place, final_obs)
    return batch
