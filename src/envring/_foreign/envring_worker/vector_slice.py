# SPDX-License-Identifier: MIT
"""A worker's slice of vector envs: each steps a batch of its own, in one call.

A vector env of k envs has k consecutive rows of the caller's batch. It resets its envs by itself,
in the mode that the caller asked for; what it returns is stored as it is.
"""

from __future__ import absolute_import, division, print_function

import sys
from functools import partial

import numpy as np

from .data.actions import BatchReader
from .data.obs import ObservationMismatch
from .envs import vectors
from .envs.wrappers import get_attribute
from .loop import NEXT_STEP, SAME_STEP, UNSET, EnvSlice
from .lost_rows import LostRows
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
        self.pending = np.zeros(at, np.uint8)  # kept for `retiring` alone
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
        if self.retiring is not None:
            self.retiring.rows_begin(a, b)
        step = self.steps[number] if self.lost is None else partial(self.lost.step, number)
        obs, rewards, terminations, truncations, info = result = step(given)
        if self.retiring is not None:
            self._count_ends(number, result)
        self._store_outcomes(number, rewards, terminations, truncations)
        self._store_rows(number, obs, info)
        self._see_what_is_owed()

    def _count_ends(self, number, result):
        a, b = self.rows[number]
        flags = (np.asarray(result[3], bool), np.asarray(result[2], bool))
        ended = np.broadcast_to(np.logical_or(*flags), (b - a,))
        if self.autoreset_mode == NEXT_STEP:
            self.pending[a:b] = ended
        elif self.autoreset_mode == SAME_STEP:
            self.retiring.rows_ended(a, ended, result)

    def _see_what_is_owed(self):
        if self.lost is not None and self.lost.is_over():
            self.lost = None

    def take_place(self, told, loads):
        self.lost = LostRows(self, told, loads)

    def rebind(self):
        self.steps[:] = [env.step for env in self.envs]
        self.stale = False

    def reset(self, slot, seeds, options, mask, per_env=False):
        """Resets the vector envs; where mask is False a row keeps its observation."""
        if self.retiring is not None:
            self.retiring.resets_all(mask)
        self.begin(slot)
        for number in range(len(self.envs)):
            a, b = self.rows[number]
            try:
                if mask is None or any(mask[a:b]):
                    self._reset(number, seeds[a:b], options, mask)
                else:
                    self._keep_rows(number)
            except BaseException:
                self.fail(a)
        self.rebind()

    def _reset(self, number, seeds, options, mask=None):
        reset = self.reset_vector if self.lost is None else self.lost.reset
        obs, info = reset(number, seeds, options, mask)
        a, b = self.rows[number]
        self.pending[a:b] &= mask is not None and np.logical_not(mask[a:b])
        self._store_outcomes(number)
        self._store_rows(number, obs, info)
        self._see_what_is_owed()

    def reset_vector(self, number, seeds, options, mask):
        """Resets a vector env, or those of its envs where mask, over the slice, is True."""
        a, b = self.rows[number]
        if mask is not None:
            options = dict(options or {}, reset_mask=np.array(mask[a:b], bool))
        return self.envs[number].reset(seed=_seed(list(seeds)), options=options)

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
        elif i not in self._waiting:  # the results of rows before it were taken of a dead worker
            self._run_row(i, actions)
            return
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
                if self.retiring is not None:
                    self.retiring.rows_begin(a, b, True)
                self._reset(number, [seed for seed, _ in given], given[0][1])
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

    def _run_row(self, i, actions):
        """Gives row i what is owed for it alone."""
        env_id = self.first_env + i
        arrays, rewards, terminations, truncations = self.segment.slot_arrays(self.slot)
        self.has_reply = True
        try:
            obs, ended, info = self.lost.row_alone(i, actions is None)
            self.obs_writer.store(arrays, self.dynamic, env_id, obs)
        except BaseException:
            EnvSlice.fail(self, i)
            return
        rewards[env_id], terminations[env_id], truncations[env_id] = 0.0, False, ended
        self.infos.write_whole(env_id, info)
        self._see_what_is_owed()

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
