# SPDX-License-Identifier: MIT
"""A worker's slice of envs: the semantics of reset, step, autoreset and call.

This is the reference. A compiled step loop may be used for speed; it stores into the same arrays,
calls back into this class for everything rare, and passes the same tests.
"""

from __future__ import absolute_import, division, print_function

import copy
import sys

import numpy as np

from . import names
from .data.actions import ActionReader
from .data.obs import ObservationMismatch
from .lost import Lost
from .raised import describe_error

NEXT_STEP, SAME_STEP, DISABLED = range(3)

FINAL_NONE, FINAL_SLAB, FINAL_REPLY = range(3)


class _Unset(object):
    """Marks the last observation of an env that was never reset."""


UNSET = _Unset()


class EnvSlice(object):
    """Envs `first_env` to `first_env + len(envs) - 1` of a vector env.

    Args:
        envs: the envs.
        first_env: number of the first one.
        autoreset_mode: NEXT_STEP, SAME_STEP or DISABLED.
        dumps: turns an object into bytes that the caller can decode.
    """

    batched = False  # whether they are vector envs, which compiled loops do not step
    reader = ActionReader
    def __init__(self, envs, first_env, autoreset_mode, dumps):
        self.envs = envs
        self.first_env = first_env
        self.num_envs = len(envs)
        self.autoreset_mode = autoreset_mode
        self.dumps = dumps
        self.steps = []
        self.lost = None  # a Lost: what is owed for the worker that was here before
        self.retiring = None  # a Retiring, if its worker is to be replaced now and then
        self.rebind()  # `stale`: whether that is to be done again
        self.last_obs = [UNSET] * self.num_envs
        self.pending = np.zeros(self.num_envs, np.uint8)
        self.rewards = np.zeros(self.num_envs, np.float64)
        self.terminations = np.zeros(self.num_envs, np.uint8)
        self.truncations = np.zeros(self.num_envs, np.uint8)
        self.slot = 0
        self.has_reply = False
        self.failures = []
        self.dynamic = {}
        self.finals = {}
        self.results = None
        self.actions = None
        self.closed = False
        self.reset_arguments = {}  # i -> (seed, options) of that env's next reset

    def attach(self, segment, obs_writer, info_writer):
        """Connects the slice to its segment.

        Args:
            segment: has `slot_arrays(slot)` -> (leaf arrays, rewards, terminations, truncations),
                `final_arrays` and `final_marks`, all over all envs of the vector env.
            obs_writer: an ObsWriter.
            info_writer: an InfoWriter.
        """
        self.segment = segment
        self.obs_writer = obs_writer
        self.infos = info_writer

    def rebind(self):
        """Looks the step methods up again, after something may have replaced them."""
        self.steps[:] = [env.step for env in self.envs]
        self.stale = False
        if self.lost is not None:
            self.lost.bind(self.steps)

    def take_place(self, told, loads):
        """Takes the place of a worker that died, or has left; see Lost."""
        self.lost = Lost(self, told, self.autoreset_mode != SAME_STEP, loads)
        self.rebind()

    # -- one batch ------------------------------------------------------------------------------

    def begin(self, slot):
        self.slot = slot
        self.infos.begin()
        last = self.first_env + self.num_envs
        self.segment.final_marks[self.first_env : last] = FINAL_NONE

    def step(self, slot, actions):
        """Steps every env into a slot; actions is a sequence over the slice."""
        self.begin(slot)
        for i in range(self.num_envs):
            try:
                self._step_env(i, actions)
            except BaseException:
                self.fail(i)
        self.publish()

    def publish(self):
        """Stores the collected rewards and flags into the slot."""
        span = slice(self.first_env, self.first_env + self.num_envs)
        _, rewards, terminations, truncations = self.segment.slot_arrays(self.slot)
        rewards[span] = self.rewards
        terminations[span] = self.terminations
        truncations[span] = self.truncations

    def _step_env(self, i, actions):
        self.rewards[i] = 0.0
        self.terminations[i] = self.truncations[i] = 0
        if self.pending[i]:
            self._store(i, *self.reset_env(i))
            self.pending[i] = 0
            return
        result = self.to_result(i, self.steps[i](actions[i]))
        obs, reward, terminated, truncated, info = result
        terminated, truncated = bool(terminated), bool(truncated)
        reward = self.to_reward(i, reward)
        ended = terminated or truncated
        if ended and self.autoreset_mode == SAME_STEP:
            self.finish_ended(i, result)
        else:
            self._store(i, obs, info)
        self.rewards[i] = reward
        self.terminations[i] = terminated
        self.truncations[i] = truncated
        self.pending[i] = ended and self.autoreset_mode == NEXT_STEP

    def run_one(self, i, slot, actions):
        """Steps env i into a slot, or resets it if `actions` is None."""
        self.begin_one(i, slot)
        try:
            if actions is None:
                self._store(i, *self.reset_env(i, True))
                self.pending[i] = 0
            else:
                self._step_env(i, actions)
        except BaseException:
            self.fail(i)
        _, rewards, terminations, truncations = self.segment.slot_arrays(slot)
        env_id = self.first_env + i
        rewards[env_id] = self.rewards[i]
        terminations[env_id] = self.terminations[i]
        truncations[env_id] = self.truncations[i]

    def begin_one(self, i, slot):
        self.slot = slot
        self.infos.begin_one(self.first_env + i)
        self.segment.final_marks[self.first_env + i] = FINAL_NONE
        self.rewards[i] = 0.0
        self.terminations[i] = self.truncations[i] = 0

    def reset(self, slot, seeds, options, mask, per_env=False):
        """Resets the envs of the slice; where mask is False an env keeps its observation.

        Args:
            slot: for the observations.
            seeds: one per env, or None in its place.
            options: for all envs; one per env if `per_env` is True.
            mask: one bool per env, or None.
            per_env: whether each env has options of its own.
        """
        if self.retiring is not None:
            self.retiring.resets_all(mask)
        self.begin(slot)
        for i, env in enumerate(self.envs):
            try:
                if mask is not None and not mask[i]:
                    self._keep_obs(i)
                    continue
                given = options[i] if per_env else options
                if self.lost is None:
                    obs, info = env.reset(seed=seeds[i], options=given)
                else:
                    obs, info = self.lost.reset(i, seeds[i], given)
                self.pending[i] = 0
                self._store(i, obs, info)
            except BaseException:
                self.fail(i)
        for outcomes in (self.rewards, self.terminations, self.truncations):
            outcomes[...] = 0
        self.publish()
        self.rebind()

    def reset_plainly(self, slot):
        """Resets every env, with neither seed nor options."""
        self.reset(slot, [None] * self.num_envs, None, None)

    def _keep_obs(self, i):
        if self.last_obs[i] is not UNSET:
            self.store_obs(i, self.last_obs[i])
            return
        arrays = self.segment.slot_arrays(self.slot)[0]
        self.obs_writer.store_zeros(arrays, self.dynamic, self.first_env + i)
        self.has_reply = self.has_reply or self.obs_writer.has_dynamic

    # -- what the compiled loop calls back into ------------------------------------------------

    def reset_env(self, i, asked=False):
        """Resets an env, with what was kept for it; returns (observation, info).

        `asked`: the caller asks for it, and not only because an episode has ended.
        """
        if self.retiring is not None and (asked or self.autoreset_mode != SAME_STEP):
            self.retiring.resets(i, asked)
        if self.lost is not None:
            seed, options = self.reset_arguments.pop(i, (None, None))
            obs, info = self.lost.reset(i, seed, options)
        elif i in self.reset_arguments:
            seed, options = self.reset_arguments.pop(i)
            obs, info = self.envs[i].reset(seed=seed, options=options)
        else:
            obs, info = self.envs[i].reset()
        return obs, info

    def finish_ended(self, i, result):
        """SAME_STEP: keeps the final observation and info, resets, stores what reset gives."""
        if self.retiring is not None:
            self.retiring.step_ended(i, result)
        env_id = self.first_env + i
        obs, _, _, _, final_info = result
        # Copied before the reset, which may reuse the env's buffers.
        if self.obs_writer.store_exact(self.segment.final_arrays, env_id, obs):
            self.segment.final_marks[env_id] = FINAL_SLAB
        else:
            self.finals[env_id] = self.dump_final(obs)
            self.segment.final_marks[env_id] = FINAL_REPLY
            self.has_reply = True
        if final_info:
            final_info = _detach(final_info)
        obs, info = self.reset_env(i)
        # None is a placeholder: the caller inserts the observation.
        merged = {"final_obs": None, "final_info": final_info}
        merged.update(info)
        has_final = "final_obs" not in info  # the info of reset takes precedence
        if not has_final:
            self.finals.pop(env_id, None)
            self.segment.final_marks[env_id] = FINAL_NONE
        self.store_obs(i, obs)
        self.store_info(i, merged, has_final)
        self.last_obs[i] = obs

    def dump_final(self, obs):
        """Returns a final observation as bytes."""
        return self.dumps(obs)

    def _store(self, i, obs, info):
        self.store_obs(i, obs)
        self.store_info(i, info)
        self.last_obs[i] = obs

    def store_obs(self, i, obs):
        arrays = self.segment.slot_arrays(self.slot)[0]
        self.obs_writer.store(arrays, self.dynamic, self.first_env + i, obs)
        if self.obs_writer.has_dynamic:
            self.has_reply = True

    def store_info(self, i, info, has_final=False):
        self.infos.write(self.first_env + i, info, has_final)
        if self.infos.objects or self.infos.odd:
            self.has_reply = True

    def to_result(self, i, result):
        """Returns the env's result as a tuple of five."""
        obs, reward, terminated, truncated, info = result
        return obs, reward, terminated, truncated, info

    def to_reward(self, i, reward):
        """Returns a reward as numpy converts it to float64.

        Raises:
            ValueError: it is not a single number.
        """
        value = np.array(reward, dtype=np.float64)
        if value.shape != ():
            raise ValueError(
                "env %d returned a reward of shape %s; a reward is a single number. Return one, "
                "and put what it consists of into the info" % (self.first_env + i, value.shape)
            )
        return float(value)

    # -- everything rare -----------------------------------------------------------------------

    def call(self, name, args, kwargs, chosen=None):
        """Gets attribute `name` of each env, calls it if callable; results go to the reply.

        `chosen` is one bool per env, or None for all. A name may be a question: see `names.call`.
        """
        self.results = [None] * self.num_envs
        for i, env in enumerate(self.envs):
            if chosen is not None and not chosen[i]:
                continue
            try:
                self.results[i] = names.call(env, self.inside(env), name, args, kwargs)
            except BaseException:
                self.fail(i)
        self.has_reply = True
        self.rebind()

    def takes(self, name, keyword):
        """Finds whether method `name` of each env takes a keyword; results go to the reply."""
        self.results = [names.takes(env, name, keyword) for env in self.envs]
        self.has_reply = True

    def inside(self, env):
        """Returns an env without what adapts it to the modern interface."""
        return env

    def set_attr(self, name, values, chosen=None):
        """Sets attribute `name` of each env; values is a sequence over the slice.

        `chosen` is one bool per env, or None for all.
        """
        for i, env in enumerate(self.envs):
            if chosen is not None and not chosen[i]:
                continue
            try:
                env.set_wrapper_attr(name, values[i])
            except BaseException:
                self.fail(i)
        self.rebind()

    def close(self):
        """Closes every env, even if others fail."""
        self.closed = True
        for i, env in enumerate(self.envs):
            try:
                env.close()
            except BaseException:
                self.fail(i)

    def close_unasked(self):
        """Closes the envs when nobody waits for it; what they raise goes to stderr."""
        if self.closed:
            return
        self.failures = []
        self.close()
        for failure in self.failures:
            sys.stderr.write("Env %d raised in close():\n%s\n" % (failure[0], failure[-1].rstrip()))
        sys.stderr.flush()

    def fail(self, i):
        """Records the exception being handled as that of env i of the slice.

        SystemExit and KeyboardInterrupt are raised again: they are meant for the process.
        """
        error = sys.exc_info()[1]
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            raise
        label = "observation" if isinstance(error, ObservationMismatch) else "exception"
        self.failures.append((self.first_env + i, label) + describe_error(error, self.dumps))
        self.has_reply = True

    def take_reply(self):
        """Returns what does not fit the arrays, for the caller; None if there is nothing."""
        if not self.has_reply:
            return None
        reply = {
            "failures": self.failures,
            "dynamic": self.dynamic,
            "finals": self.finals,
            "objects": self.infos.objects,
            "odd": self.infos.odd,
            "results": self.results,
        }
        self.failures, self.dynamic, self.finals, self.results = [], {}, {}, None
        self.infos.objects, self.infos.odd = {}, {}
        self.has_reply = False
        return reply


def _detach(info):
    """Returns a copy of an info that a later reset cannot change."""
    try:
        return copy.deepcopy(info)
    except Exception:
        return dict(info)
