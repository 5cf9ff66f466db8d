# SPDX-License-Identifier: MIT
"""Writing observations into the arrays of a slot.

A plan is a space's tree as plain data:

    ("leaf", index, dtype_str, shape)       fixed size: one array (num_envs, *shape) per slot
    ("dynamic", index)                      no fixed size: values are sent in the reply
    ("dict", [(key, plan), ...])            in the space's order
    ("tuple", [plan, ...])
"""

from __future__ import absolute_import, division, print_function

import numpy as np


class ObservationMismatch(ValueError):
    """An env's observation does not fit its space."""


def _named(path):
    return "".join("[%r]" % (key,) for key in path) or "it"


def _children(plan):
    return plan[1] if plan[0] == "dict" else enumerate(plan[1])


def _item(obs, key, path):
    try:
        return obs[key]
    except (KeyError, IndexError, TypeError):
        raise ObservationMismatch("%s: there is no item %r in %.200r" % (_named(path), key, obs))


def _changes_value(array, dtype):
    """Returns whether an integer cast from array to dtype changes a value."""
    if array.dtype.kind not in "iu" or dtype.kind not in "iu":
        return False
    if np.can_cast(array.dtype, dtype, "safe"):
        return False
    return not np.array_equal(array.astype(dtype), array)


def _can_store(array, dtype):
    if array.dtype == dtype:
        return True
    if array.dtype.kind in "iu" and dtype.kind in "iu":
        return not _changes_value(array, dtype)
    return np.can_cast(array.dtype, dtype, "same_kind")


def leaves(plan):
    """Returns the plan's leaves, fixed and dynamic, in the order of their indices."""
    kind = plan[0]
    if kind == "dict":
        return [leaf for _, child in plan[1] for leaf in leaves(child)]
    if kind == "tuple":
        return [leaf for child in plan[1] for leaf in leaves(child)]
    return [plan]


class ObsWriter(object):
    """Stores observations by a plan.

    `arrays` in the methods has one item per leaf: an array (num_envs, *shape), or None if the leaf
    is dynamic. `dynamic` is a dict: leaf index -> {env_id: value}.
    """

    def __init__(self, plan):
        self.plan = plan
        self.leaves = leaves(plan)
        self.has_dynamic = any(leaf[0] == "dynamic" for leaf in self.leaves)
        self._dtypes = [np.dtype(leaf[2]) if leaf[0] == "leaf" else None for leaf in self.leaves]

    def store(self, arrays, dynamic, env_id, obs):
        """Stores one env's observation.

        Raises:
            ObservationMismatch: it does not fit the space.
        """
        self._store(self.plan, arrays, dynamic, env_id, obs, ())

    def _store(self, plan, arrays, dynamic, env_id, obs, path):
        kind = plan[0]
        if kind == "leaf":
            self._store_leaf(plan, arrays[plan[1]], env_id, obs, path)
        elif kind == "dynamic":
            dynamic.setdefault(plan[1], {})[env_id] = obs
        else:
            for key, child in _children(plan):
                value = _item(obs, key, path)
                self._store(child, arrays, dynamic, env_id, value, path + (key,))

    def _store_leaf(self, plan, array, env_id, obs, path):
        array[env_id] = self._fitting(self._dtypes[plan[1]], plan[3], obs, path)

    def _fitting(self, dtype, shape, obs, path):
        """Returns an observation as an array that fits a leaf.

        Raises:
            ObservationMismatch: it does not fit.
        """
        where = _named(path)
        try:
            value = np.asanyarray(obs)
        except Exception as error:
            raise ObservationMismatch("%s is not an array: %s" % (where, error))
        if value.shape != shape:
            raise ObservationMismatch(
                "%s has shape %s, but the space has %s" % (where, value.shape, shape)
            )
        if not _can_store(value, dtype):
            raise ObservationMismatch(
                "%s has dtype %s, which cannot be cast to the space's %s without loss"
                % (where, value.dtype, dtype)
            )
        return value

    def store_rows(self, arrays, dynamic, first, count, obs):
        """Stores the batched observation of envs `first` to `first + count - 1`, leaf by leaf.

        Raises:
            ObservationMismatch: it does not fit the batched space.
        """
        self._store_rows(self.plan, arrays, dynamic, (first, count), obs, ())

    def _store_rows(self, plan, arrays, dynamic, rows, obs, path):
        kind, (first, count) = plan[0], rows
        if kind == "leaf":
            shape = (count,) + plan[3]
            array = arrays[plan[1]][first : first + count]
            array[...] = self._fitting(self._dtypes[plan[1]], shape, obs, path)
        elif kind == "dynamic":
            if not hasattr(obs, "__len__") or len(obs) != count:
                raise ObservationMismatch(
                    "%s has no value for each of %d envs: %.200r" % (_named(path), count, obs)
                )
            dynamic.setdefault(plan[1], {}).update((first + i, obs[i]) for i in range(count))
        else:
            for key, child in _children(plan):
                value = _item(obs, key, path)
                self._store_rows(child, arrays, dynamic, rows, value, path + (key,))

    def store_exact(self, arrays, env_id, obs):
        """Stores an observation only if it can be read back unchanged, with its type and dtype.

        Returns:
            Whether it was stored.
        """
        return self._store_exact(self.plan, arrays, env_id, obs)

    def _store_exact(self, plan, arrays, env_id, obs):
        kind = plan[0]
        if kind == "dynamic":
            return False
        if kind == "leaf":
            dtype = self._dtypes[plan[1]]
            if type(obs) is np.ndarray:
                if obs.dtype != dtype or obs.shape != plan[3] or not obs.shape:
                    return False
            elif plan[3] or type(obs) is not dtype.type:
                return False
            arrays[plan[1]][env_id] = obs
            return True
        if kind == "dict":
            if type(obs) is not dict or list(obs) != [key for key, _ in plan[1]]:
                return False
            return all(
                self._store_exact(child, arrays, env_id, obs[key]) for key, child in plan[1]
            )
        if type(obs) is not tuple or len(obs) != len(plan[1]):
            return False
        return all(
            self._store_exact(child, arrays, env_id, value) for child, value in zip(plan[1], obs)
        )

    def store_zeros(self, arrays, dynamic, env_id):
        """Stores zeros for an env that was never reset; dynamic leaves become None."""
        for leaf in self.leaves:
            if leaf[0] == "leaf":
                arrays[leaf[1]][env_id] = 0
            else:
                dynamic.setdefault(leaf[1], {})[env_id] = None
