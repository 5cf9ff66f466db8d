# SPDX-License-Identifier: MIT
"""A worker's slice of vector envs: each steps a batch of its own, in one call.

A vector env of k envs has k consecutive rows of the caller's batch. It resets its envs by itself,
in the mode that the caller asked for; what it returns is stored as it is.
"""

from __future__ import absolute_import, division, print_function

import sys

import numpy as np

from .data.actions import BatchReader
from .data.obs import ObservationMismatch
from .envs import vectors
from .envs.wrappers import get_attribute
from .loop import UNSET, EnvSlice
from .names import check_name
from .parameters import takes_keyword
from .raised import describe_error

_OUTCOMES = ("rewards", "terminations", "truncations")


class VectorSlice(EnvSlice):
    """Vector envs whose rows begin at `first_env`.

    Attributes:
        rows: the rows of each vector env in the slice: (first, end).
    """

    batched = True
    reader = BatchReader

    def __init__(self, envs, first_env, autoreset_mode, dumps):
        EnvSlice.__init__(self, envs, first_env, autoreset_mode, dumps)
        self.rows, at = [], 0
        for env in envs:
            self.rows.append((at, at + int(env.num_envs)))
            at = self.rows[-1][1]
        self.num_envs = at
        self._env_of = [n for n, (a, b) in enumerate(self.rows) for _ in range(a, b)]
        self._waiting = {}  # i -> what its row was told of a step of its vector env

    # -- one batch ------------------------------------------------------------------------------

    def step(self, slot, actions):
        """Steps every vector env into a slot."""
        self.begin(slot)
        for number in range(len(self.envs)):
            try:
                self._step_vector(number, actions)
            except BaseException:
                self.fail(self.rows[number][0])

    def _step_vector(self, number, actions):
        a, b = self.rows[number]
        given = actions(a, b)
        if type(given) is list:
            given = vectors.batched(self.envs[number].single_action_space, given)
        obs, rewards, terminations, truncations, info = self.steps[number](given)
        self._store_outcomes(number, rewards, terminations, truncations)
        self._store_rows(number, obs, info)

    def reset(self, slot, seeds, options, mask, per_env=False):
        """Resets the vector envs; where mask is False a row keeps its observation."""
        self.begin(slot)
        for number in range(len(self.envs)):
            a, b = self.rows[number]
            try:
                if mask is None:
                    self._reset_vector(number, seeds[a:b], options)
                elif any(mask[a:b]):
                    given = dict(options or {}, reset_mask=np.array(mask[a:b], bool))
                    self._reset_vector(number, seeds[a:b], given)
                else:
                    self._keep_rows(number)
            except BaseException:
                self.fail(a)
        self.rebind()

    def _reset_vector(self, number, seeds, options):
        obs, info = self.envs[number].reset(seed=_seed(list(seeds)), options=options)
        self._store_outcomes(number)
        self._store_rows(number, obs, info)

    def _keep_rows(self, number):
        self._store_outcomes(number)
        if self.last_obs[number] is not UNSET:
            self._store_rows(number, self.last_obs[number], {})
            return
        arrays = self.segment.slot_arrays(self.slot)[0]
        for i in range(*self.rows[number]):
            self.obs_writer.store_zeros(arrays, self.dynamic, self.first_env + i)
        self.has_reply = self.has_reply or self.obs_writer.has_dynamic

    def _store_outcomes(self, number, *given):
        a, b = self.rows[number]
        rows, shape = slice(self.first_env + a, self.first_env + b), (b - a,)
        _, rewards, terminations, truncations = self.segment.slot_arrays(self.slot)
        if given:
            given = [_column(name, values, shape) for name, values in zip(_OUTCOMES, given)]
        rewards[rows], terminations[rows], truncations[rows] = given or (0.0, False, False)

    def _store_rows(self, number, obs, info):
        self.store_obs(number, obs)
        self.last_obs[number] = obs
        if info or type(info) is not dict:
            self.infos.write_whole(self.first_env + self.rows[number][0], self.to_info(info))
            self.has_reply = True
        if self.obs_writer.has_dynamic:
            self.has_reply = True

    def store_obs(self, number, obs):
        """Stores the observations of a vector env: an array at a time."""
        a, b = self.rows[number]
        arrays = self.segment.slot_arrays(self.slot)[0]
        self.obs_writer.store_rows(arrays, self.dynamic, self.first_env + a, b - a, obs)

    def to_info(self, info):
        """Returns the infos as they are sent."""
        return info

    # -- single rows ----------------------------------------------------------------------------

    def run_one(self, i, slot, actions):
        """Gives row i its part of a step or reset, which its vector env makes with its first row.

        The caller sends whole vector envs.
        """
        self.begin_one(i, slot)
        number = self._env_of[i]
        if i == self.rows[number][0]:
            self._run_vector(number, actions)
        failure, dynamic, info = self._waiting.pop(i)
        env_id = self.first_env + i
        if failure is not None:
            self.failures.append((env_id,) + failure)
            self.has_reply = True
            return
        for leaf, value in dynamic:
            self.dynamic.setdefault(leaf, {})[env_id] = value
            self.has_reply = True
        if info:
            self.infos.write_whole(env_id, info)
            self.has_reply = True

    def begin_one(self, i, slot):
        self.slot = slot
        self.infos.begin_one(self.first_env + i)

    def _run_vector(self, number, actions):
        """Steps or resets a vector env, and keeps for its rows what does not fit the arrays."""
        a, b = self.rows[number]
        try:
            if actions is None:
                given = [self.reset_arguments.pop(i, (None, None)) for i in range(a, b)]
                self._reset_vector(number, [seed for seed, _ in given], given[0][1])
            else:
                self._step_vector(number, actions)
        except BaseException:
            self.fail(a)
        failures, self.failures = self.failures, []
        dynamic, self.dynamic = self.dynamic, {}
        info = self.infos.take_whole(self.first_env + a)
        self.has_reply = False
        for i in range(a, b):
            env_id = self.first_env + i
            values = [(leaf, of[env_id]) for leaf, of in dynamic.items() if env_id in of]
            self._waiting[i] = (
                failures[i - a][1:] if failures else None,
                values,
                _row_of(info, i - a, b - a) if isinstance(info, dict) else info,
            )

    # -- everything rare ------------------------------------------------------------------------

    def call(self, name, args, kwargs, chosen=None):
        """Calls `name` of each vector env, or gets it; see `result_of` and `per_row`."""
        self.results = [None] * self.num_envs
        for env, (a, b) in zip(self.envs, self.rows):
            if chosen is not None and not chosen[a]:
                continue
            try:
                check_name(name)
                result = vectors.result_of(env, name, args, kwargs)
                self.results[a:b] = vectors.per_row(result, b - a)
            except BaseException:
                self.fail(a)
        self.has_reply = True
        self.rebind()

    def takes(self, name, keyword):
        self.results = []
        for env, (a, b) in zip(self.envs, self.rows):
            try:
                answer = takes_keyword(get_attribute(env, name), keyword)
            except Exception:
                answer = False
            self.results += [answer] * (b - a)
        self.has_reply = True

    def set_attr(self, name, values, chosen=None):
        for env, (a, b) in zip(self.envs, self.rows):
            if chosen is not None and not chosen[a]:
                continue
            try:
                vectors.set_value(env, name, list(values[a:b]))
            except BaseException:
                self.fail(a)
        self.rebind()

    def close(self):
        self.closed = True
        for env, (a, _) in zip(self.envs, self.rows):
            try:
                env.close()
            except BaseException:
                EnvSlice.fail(self, a)

    def fail(self, i):
        """Records the exception being handled as that of all rows of a vector env."""
        error = sys.exc_info()[1]
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise
        label = "observation" if isinstance(error, ObservationMismatch) else "exception"
        described = ("vector " + label,) + describe_error(error, self.dumps)
        a, b = self.rows[self._env_of[i]]
        self.failures += [(self.first_env + row,) + described for row in range(a, b)]
        self.has_reply = True


def _column(name, values, shape):
    """Returns one number for each env.

    Raises:
        ValueError: there are not so many, or they are not numbers.
    """
    values = np.asarray(values)
    if values.shape != shape or values.dtype.kind not in "biuf":
        raise ValueError(
            "a vector env of %d envs returned %s of shape %s and dtype %s; return a number for "
            "each env" % (shape + (name, values.shape, values.dtype))
        )
    return values


def _seed(seeds):
    """Returns what a vector env is given for the seeds of its rows: one seed if they ascend by 1.

    Vector envs take one seed s, which is s + i for their env i where each has its own; only some
    take a list.
    """
    if all(seed is None for seed in seeds):
        return None
    first = seeds[0]
    if first is not None and seeds == list(range(first, first + len(seeds))):
        return first
    return seeds


def _row_of(info, row, count):
    """Returns the part of batched infos that is one row's, as a batch of one."""
    part = {}
    masks = {"_%s" % (key,) for key in info}
    for key, value in info.items():
        mask = value if key in masks else info.get("_%s" % (key,))
        if isinstance(mask, np.ndarray) and mask.shape == (count,) and not mask[row]:
            continue
        if isinstance(value, dict):
            value = _row_of(value, row, count)
        elif _has_rows(value, count):
            value = value[row : row + 1]
        part[key] = value
    return part


def _has_rows(value, count):
    if isinstance(value, np.ndarray):
        return value.shape[:1] == (count,)
    return isinstance(value, (list, tuple)) and len(value) == count
