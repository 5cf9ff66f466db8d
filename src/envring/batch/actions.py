# SPDX-License-Identifier: MIT
"""The caller's end of actions: checked at the door, then into the slab, or into a message.

Each env receives what `gymnasium.vector.utils.iterate` would give it: a numpy scalar or row in the
dtype that the caller used, a Python number from a list of them, a dict or tuple for such spaces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.vector.utils import iterate
from numpy.typing import NDArray

from envring._foreign.envring_worker.data import actions as codes
from envring.batch.layout import ALIGNMENT, Layout, Leaf, action_writer
from envring.core import _core
from envring.errors import ActionError, format_env_ids

_MAX_ITEM = 16  # bytes of the widest number an action may come as


def slab_bytes(layout: Layout, num_envs: int) -> int:
    """Size of the action slab."""
    _, total = layout.offsets(num_envs)
    if len(layout.leaves) == 1 and layout.leaves[0].fixed:
        total = max(total, num_envs * math.prod(layout.leaves[0].shape) * _MAX_ITEM)
    return max(total, ALIGNMENT)


class Each(list[Any]):
    """One action per env, which it receives as it is, whatever the action space says."""


class ActionSender:
    """Stores batches of actions where workers find them.

    Attributes:
        exact: takes batches of the space's dtype and shape; None where actions are nested.
        ints: takes lists of Python's ints; None where an action is not an integer.

    Args:
        layout: of the single action space.
        batched: the batched action space.
        num_envs: number of envs.
        slab: uint8 array over the action slab.
        send: sends one action per env in a message.
    """

    def __init__(
        self,
        layout: Layout,
        batched: Space[Any],
        num_envs: int,
        slab: np.ndarray[Any, Any],
        send: Callable[[Sequence[Any]], None],
    ) -> None:
        """Looks at the space once."""
        self._num_envs = num_envs
        self._batched = batched
        self._slab = slab
        self._send = send
        self._slab_code: int = codes.SLAB
        self._message_code: int = codes.MESSAGE
        self._ints_code: int = codes.format_code(np.dtype(np.int64), python_numbers=True)
        self._leaf: Leaf | None = None
        self.exact: _core.ActionSlab | None = None
        self.ints: _core.IntSlab | None = None
        self._shape: tuple[int, ...] = ()
        self._write_nested: Callable[[Any], bool] | None = None
        if layout.plan[0] == "leaf":
            leaf = self._leaf = layout.leaves[0]
            assert leaf.dtype is not None
            self._shape = (num_envs, *leaf.shape)
            self._view = slab[: leaf.nbytes(num_envs)].view(leaf.dtype).reshape(self._shape)
            self.exact = _core.ActionSlab(self._view)
            if not leaf.shape and leaf.dtype.kind in "iu":
                self.ints = _core.IntSlab(slab, num_envs)
        else:
            self._write_nested = action_writer(layout, num_envs, slab)

    def put(self, actions: Any) -> int:
        """Stores a batch of actions; returns the code that tells workers where they are.

        Raises:
            ActionError: the batch does not fit the action space; nothing was sent.
        """
        if self.exact is not None and self.exact.put(actions):
            return self._slab_code
        if self.ints is not None and type(actions) is list and self.ints.put(actions):
            return self._ints_code
        if type(actions) is Each:
            return self._put_items(actions)
        if self._leaf is not None:
            return self._put_leaf(actions, self._leaf)
        if self._write_nested is not None and self._write_nested(actions):
            return self._slab_code
        return self._put_nested(actions)

    def put_some(
        self,
        actions: Any,
        env_ids: Sequence[int] | NDArray[np.int32],
        send: Callable[[Sequence[Any]], None],
    ) -> int:
        """Stores actions of some envs, in their order; returns the code as `put`.

        They are cast to the space's dtype: rows of other envs, whose actions may not be read yet,
        stand where rows of another dtype would be. Those of an `Each` are not.

        Args:
            actions: one per env.
            env_ids: whose they are.
            send: sends one action per env in a message.
        """
        if self._leaf is None or type(actions) is Each:
            env_ids = [int(env_id) for env_id in env_ids]
            items = actions if type(actions) is Each else self._items(actions)
            self._check_count(len(items), env_ids)
            send(items)
            return self._message_code
        is_exact = type(actions) is np.ndarray and actions.dtype == self._leaf.dtype
        if is_exact and actions.shape == (len(env_ids), *self._leaf.shape):
            self._view[env_ids] = actions
            return self._slab_code
        env_ids = [int(env_id) for env_id in env_ids]
        array = self._as_array(actions)
        self._check_count(len(array), env_ids)
        self._check_rows(array.shape[1:], self._leaf, env_ids)
        self._check_dtype(array.dtype, self._leaf, env_ids)
        self._view[env_ids] = array.reshape(len(env_ids), *self._leaf.shape)
        return self._slab_code

    def _put_leaf(self, actions: Any, leaf: Leaf) -> int:
        if isinstance(actions, (list, tuple)):
            return self._put_list(actions, leaf)
        array = self._as_array(actions)
        self._check_count(len(array))
        self._check_rows(array.shape[1:], leaf, range(self._num_envs))
        self._check_dtype(array.dtype, leaf)
        if array.shape == self._shape and array.dtype.isnative and array.dtype.kind in "biufc":
            if array.dtype == leaf.dtype:
                self._view[...] = array
                return self._slab_code
            if array.dtype.itemsize <= _MAX_ITEM:
                self._slab[: array.nbytes].view(array.dtype).reshape(array.shape)[...] = array
                return int(codes.format_code(array.dtype))
        self._send(list(array))
        return self._message_code

    def _as_array(self, actions: Any) -> np.ndarray[Any, Any]:
        try:
            array = np.asarray(actions)
        except Exception as error:
            raise ActionError(f"The actions are not an array: {error}") from error
        if array.ndim == 0:
            raise ActionError(
                f"Unable to iterate over the following elements: {actions!r}. Give one action per "
                f"env ({self._num_envs})."
            )
        return array

    def _put_list(self, actions: Sequence[Any], leaf: Leaf) -> int:
        self._check_count(len(actions))
        if self.ints is not None and self.ints.put(list(actions)):
            return self._ints_code
        for env_id, action in enumerate(actions):
            value = np.asarray(action)
            self._check_rows(value.shape, leaf, [env_id])
            self._check_dtype(value.dtype, leaf, [env_id])
        self._send(actions)
        return self._message_code

    def _items(self, actions: Any) -> list[Any]:
        try:
            return list(iterate(self._batched, actions))
        except Exception as error:
            raise ActionError(
                f"The actions do not fit the action space {self._batched}: {error}"
            ) from error

    def _put_nested(self, actions: Any) -> int:
        return self._put_items(self._items(actions))

    def _put_items(self, items: Sequence[Any]) -> int:
        self._check_count(len(items))
        self._send(items)
        return self._message_code

    # -- checks -----------------------------------------------------------------------------

    def _check_count(self, count: int, env_ids: Sequence[int] | None = None) -> None:
        wanted = range(self._num_envs) if env_ids is None else env_ids
        if count == len(wanted):
            return
        if count < len(wanted):
            which = f"{format_env_ids(wanted[count:])} would get none"
        else:
            which = f"{count - len(wanted)} too many"
        raise ActionError(
            f"Got {count} actions for {len(wanted)} envs: {which}. Give one action per env."
        )

    def _check_rows(self, shape: tuple[int, ...], leaf: Leaf, env_ids: Sequence[int]) -> None:
        if math.prod(shape) != math.prod(leaf.shape):
            raise ActionError(
                f"The actions of {format_env_ids(env_ids)} have shape {shape}, the action space "
                f"has {leaf.shape}. Give actions of that shape."
            )

    def _check_dtype(
        self, dtype: np.dtype[Any], leaf: Leaf, env_ids: Sequence[int] | None = None
    ) -> None:
        assert leaf.dtype is not None
        both_integers = dtype.kind in "iu" and leaf.dtype.kind in "iu"
        if both_integers or np.can_cast(dtype, leaf.dtype, "same_kind"):
            return
        who = format_env_ids(range(self._num_envs) if env_ids is None else env_ids)
        raise ActionError(
            f"The actions of {who} are of dtype {dtype}, the action space is {leaf.dtype}; casting "
            f"would lose something. Cast them yourself if you want that: actions.astype("
            f"'{leaf.dtype}')."
        )
