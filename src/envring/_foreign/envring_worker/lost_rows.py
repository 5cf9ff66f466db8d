# SPDX-License-Identifier: MIT
"""What a worker of vector envs owes to the caller for the one in whose place it was started.

As lost.py, for envs that are stepped and reset together: a vector env that was built anew is reset
as a whole, so the episodes of all of its rows end together. A row whose episode had ended already
comes as truncated once more, unless those of all others had, too.
"""

from __future__ import absolute_import, division, print_function

import numpy as np

from .envs import vectors
from .loop import DISABLED, NEXT_STEP, SAME_STEP
from .lost import RESTARTED, mine

_FINALS = ("final_obs", "_final_obs", "final_info", "_final_info")


class LostRows(object):
    """The lost episodes of a slice's vector envs, until their caller has been told of all of them.

    Args:
        envs: the VectorSlice.
        told: as for Lost. `ends` has what a whole vector env has returned, at its first row.
        loads: reads the bytes.
    """

    def __init__(self, envs, told, loads):
        self.envs = envs
        self.last = mine(envs, told["obs"])
        self.seeds = mine(envs, told["seeds"])
        self.ended = set(self.last)  # rows whose ends are not told
        self.untold = set(range(envs.num_envs))  # rows that have not said that they are new
        self.fresh = set(range(len(envs.envs)))  # vector envs that are not reset yet
        self.begins = set()  # rows whose next step begins an episode, as far as the caller knows
        self.results = dict((i, loads(data)) for i, data in mine(envs, told["ends"]).items())
        pending = mine(envs, dict.fromkeys(told["pending"]))
        for number, (a, b) in enumerate(envs.rows):
            if a in self.last:
                envs.last_obs[number] = self._last(number)
            if all(i in pending for i in range(a, b)):
                envs.pending[a:b] = 1
                self.ended.difference_update(range(a, b))

    def _last(self, number):
        a, b = self.envs.rows[number]
        return self._batched(number, [self.last[i] for i in range(a, b)])

    def _batched(self, number, rows):
        return vectors.batched(self.envs.envs[number].single_observation_space, rows)

    def _with_rows(self, number, obs, which):
        """Returns a batch of observations in which some rows are the last ones."""
        if not which:
            return obs
        a, _ = self.envs.rows[number]
        rows = vectors.iterated(self.envs.envs[number].observation_space, obs)
        for i in which:
            rows[i - a] = self.last[i]
        return self._batched(number, rows)

    # -- steps ----------------------------------------------------------------------------------

    def step(self, number, actions):
        """Returns what a vector env's step returns, or what is owed in its place."""
        a, b = self.envs.rows[number]
        mode = self.envs.autoreset_mode
        left = [i for i in range(a, b) if i in self.ended]
        begins = [i for i in range(a, b) if i in self.begins]
        self.ended.difference_update(left)
        self.begins.difference_update(begins)
        if a in self.results:
            return self._end_of_step(number)
        if len(left) == b - a and mode != SAME_STEP:
            obs, info = self._last(number), {}
            outcomes = _outcomes(b - a)
        elif number in self.fresh and a in self.last and mode != DISABLED:
            obs, info = self._reset(number)
            outcomes = _outcomes(b - a)
        else:
            if number in self.fresh and a in self.last:
                self._reset(number)
            result = self.envs.steps[number](actions)
            obs, info = result[0], result[4]
            outcomes = [np.array(values) for values in result[1:4]]
        rewards, terminations, truncations = outcomes
        for i in left:
            rewards[i - a], terminations[i - a], truncations[i - a] = 0, False, True
        for i in begins:
            rewards[i - a] = 0
        if mode == SAME_STEP:
            info = _with_finals(info, b - a, dict((i - a, self.last[i]) for i in left))
        else:
            obs = self._with_rows(number, obs, left)
        if mode == NEXT_STEP and number not in self.fresh:
            self.begins.update(left)
        told = left if mode == SAME_STEP or number in self.fresh else range(a, b)
        info = self._say(number, info, self.untold.intersection(told))
        return obs, rewards, terminations, truncations, info

    def _end_of_step(self, number):
        """Returns what the worker before has got from its last step, after a reset of ours."""
        a, b = self.envs.rows[number]
        obs, rewards, terminations, truncations, kept = self.results.pop(a)
        ended = np.logical_or(terminations, truncations)
        truncations = np.array(truncations)
        truncations[~ended] = True
        rows = vectors.iterated(self.envs.envs[number].observation_space, obs)
        obs, info = self._reset(number)
        own = info
        info = dict((key, kept[key]) for key in _FINALS if key in kept)
        info.update(own)
        info = _with_finals(info, b - a, dict((j, rows[j]) for j in np.flatnonzero(~ended)))
        info = self._say(number, info, range(a, b))
        return obs, rewards, terminations, truncations, info

    # -- resets ---------------------------------------------------------------------------------

    def reset(self, number, seeds, options, mask):
        """Resets a vector env; where `mask` is False a row keeps its observation."""
        a, b = self.envs.rows[number]
        chosen = {i for i in range(a, b) if mask is None or mask[i]}
        self.ended -= chosen
        self.begins -= chosen
        self.results.pop(a, None)
        if number not in self.fresh:
            obs, info = self.envs.reset_vector(number, seeds, options, mask)
        else:
            obs, info = self._reset(number, seeds, options)
            kept = [i for i in range(a, b) if i not in chosen]
            if kept:
                obs = self._with_rows(number, obs, [i for i in kept if i in self.last])
                info = _of_rows(info, np.array([i in chosen for i in range(a, b)]))
        return obs, self._say(number, info, self.untold & chosen)

    def row_alone(self, i, asked):
        """What is owed for one row, where the results of those before it were taken in time.

        Args:
            i: the row.
            asked: whether it is to be reset.

        Returns:
            observation, whether the episode ends here, info.
        """
        number = next(n for n, (a, b) in enumerate(self.envs.rows) if a <= i < b)
        mode, ends = self.envs.autoreset_mode, i in self.ended and not asked
        self.ended.discard(i)
        self.untold.discard(i)
        info = {RESTARTED: True}
        if ends and mode != SAME_STEP:
            return self.last[i], True, info
        if number in self.fresh:
            self.envs.last_obs[number] = self._reset(number)[0]
        space, obs = self.envs.envs[number].observation_space, self.envs.last_obs[number]
        if ends:
            info = _with_finals(info, 1, {0: self.last[i]})
        return vectors.iterated(space, obs)[i - self.envs.rows[number][0]], ends, info

    def _reset(self, number, seeds=None, options=None):
        """Resets a vector env for the first time, with seeds that follow from those of before."""
        a, b = self.envs.rows[number]
        own = [self.seeds.pop(i, None) for i in range(a, b)]
        if seeds is None or all(seed is None for seed in seeds):
            # most take one seed only: that of the first row, from which the others count up
            seeds = own if own[0] is None else [own[0] + i for i in range(b - a)]
        self.fresh.discard(number)
        self.envs.stale = True
        return self.envs.reset_vector(number, seeds, options, None)

    def is_over(self):
        """Whether nothing is owed any more."""
        return not (self.ended or self.untold or self.fresh or self.begins or self.results)

    def _say(self, number, info, which):
        """Returns infos that say of some rows that their worker was started again."""
        a, b = self.envs.rows[number]
        self.untold.difference_update(which)
        if not which:
            return info
        mask = np.array([i in which for i in range(a, b)])
        info = dict(info)
        info[RESTARTED], info["_" + RESTARTED] = mask, mask.copy()
        return info


def _outcomes(count):
    return np.zeros(count), np.zeros(count, bool), np.zeros(count, bool)


def _with_finals(info, count, finals):
    """Returns infos with the final observations of some more rows."""
    if not finals:
        return info
    info = dict(info)
    column, given = np.empty(count, object), info.get("final_obs")
    had = np.array(info.get("_final_obs", np.full(count, given is not None)), bool)
    for j in range(count):
        column[j] = finals[j] if j in finals else given[j] if had[j] else None
    mask = np.array([bool(had[j]) or j in finals for j in range(count)])
    info["final_obs"], info["_final_obs"] = column, mask
    info.setdefault("final_info", {})
    info["_final_info"] = np.logical_or(info.get("_final_info", False), mask)
    return info


def _of_rows(info, mask):
    """Returns infos of which only those of some rows are had."""
    kept = {}
    for key, value in info.items():
        if "_%s" % (key,) not in info and str(key).startswith("_") and key[1:] in info:
            continue  # the mask of another key
        kept[key] = _of_rows(value, mask) if isinstance(value, dict) else value
        kept["_%s" % (key,)] = np.logical_and(info.get("_%s" % (key,), True), mask)
    return kept
