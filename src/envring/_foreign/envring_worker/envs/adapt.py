# SPDX-License-Identifier: MIT
"""Adapts old envs to the modern interface.

What an env can do is read from the results and parameters of its methods, never from a version:
wrappers, ports and plain objects mix the API generations freely.
"""

from __future__ import absolute_import, division, print_function

import sys

import numpy as np

from ..loop import EnvSlice
from .old_time_limit import report_truncations
from .spaces import kind_of, value_to_data
from .wrappers import (
    find_attribute,
    get_attribute,
    has_attribute,
    layers,
    set_attribute,
    takes,
    takes_value,
)

_OWN = frozenset(
    [
        "get_wrapper_attr",
        "has_wrapper_attr",
        "is_method",
        "metadata",
        "np_random_seed",
        "render",
        "render_mode",
        "set_wrapper_attr",
    ]
)
_RENAMED = (("render.modes", "render_modes"), ("video.frames_per_second", "render_fps"))
_SINGLE = ("rgb_array", "ansi")
_unseedable = set()  # classes for which the warning was printed


def adapt(env, render_mode=None, array_actions=False):
    """Returns the env with the interface of gymnasium 1.x envs.

    Args:
        env: anything with reset, step, observation_space and action_space.
        render_mode: what to render, if the env did not take a render mode when it was made.
        array_actions: whether numbers reach the env as arrays of shape ().
    """
    if isinstance(env, AdaptedEnv):
        return env
    report_truncations(env)
    return AdaptedEnv(env, render_mode, array_actions)


class AdaptedEnv(object):
    """An env with `reset(seed=, options=) -> (obs, info)`, `render()` and wrapper attributes.

    `step` is the env's own; see `to_five` for what it may return.
    """

    def __init__(self, env, render_mode=None, array_actions=False):
        self.env = env
        self._mode = render_mode
        kinds = ("discrete", "dict", "tuple")
        self._array_actions = array_actions and kind_of(env.action_space) in kinds
        self._seed = None
        self._takes = None

    # -- what is looked up often ----------------------------------------------------------------

    @property
    def step(self):
        return self._step_with_array if self._array_actions else self.env.step

    def _step_with_array(self, action):
        return self.env.step(_as_arrays(action))

    @property
    def observation_space(self):
        return self.env.observation_space

    @property
    def action_space(self):
        return self.env.action_space

    @property
    def metadata(self):
        """The env's metadata, with modern names added for the old ones."""
        metadata = dict(find_attribute(self.env, "metadata") or {})
        for old, new in _RENAMED:
            if old in metadata:
                metadata.setdefault(new, metadata[old])
        return metadata

    @property
    def render_mode(self):
        return find_attribute(self.env, "render_mode") if self._mode is None else self._mode

    @property
    def spec(self):
        return find_attribute(self.env, "spec")

    # -- reset ----------------------------------------------------------------------------------

    def reset(self, seed=None, options=None):
        """Resets the env; returns (observation, info).

        Raises:
            ValueError: options were given, but the env's reset takes none.
        """
        if self._takes is None:
            self._takes = dict((name, takes(self.env, name)) for name in ("seed", "options"))
            self._keywords = {"return_info": True} if self._returns_info_if_told() else {}
        while True:
            keywords = self._keywords
            if seed is not None or options is not None:
                keywords = self._keywords_for(seed, options)
            try:
                result = self.env.reset(**keywords)
                break
            except (AssertionError, TypeError) as error:
                if not self._drop_refused(keywords, error):
                    raise
        if (
            isinstance(result, (tuple, list))
            and len(result) == 2
            and (isinstance(result[1], dict) or result[1] is None)
            and not self._is_observation(result)
        ):
            return result[0], result[1] or {}
        return result, {}

    def _returns_info_if_told(self):
        """Returns whether gym 0.22 to 0.25 returns an info on request.

        An older wrapper in between would treat the pair as an observation.
        """
        if takes(self.env, "return_info") is not True:
            return False
        return all(
            takes(layer, "return_info", deep=False) or type(layer).__module__.startswith("gym.")
            for layer in layers(self.env)
        )

    def _keywords_for(self, seed, options):
        keywords = dict(self._keywords)
        if options is not None:
            if self._takes["options"] is not False:
                keywords["options"] = options
            elif options:
                raise ValueError(
                    "the env's reset takes no options (%s has an older API); omit options=%r"
                    % (type(self.env).__name__, options)
                )
        if seed is not None:
            self._seed = seed
            if self._takes["seed"] is not False:
                keywords["seed"] = seed
            else:
                self._seed_by_method(seed)
        return keywords

    def _drop_refused(self, keywords, error):
        """Learns from an error which keywords reset does not take; returns whether any."""
        text = str(error)
        if isinstance(error, AssertionError):
            # gym 0.25's checker: the env has the parameter, but does not return a pair
            refused = "return_info" in keywords and "return_info" in text
            if refused:
                self._keywords = {}
            return refused
        if "keyword argument" not in text:
            return False
        refused = [
            name
            for name in ("seed", "options")
            if name in keywords
            and self._takes[name] is None
            and ("'%s'" % name in text or "no keyword arguments" in text)
        ]
        self._takes.update((name, False) for name in refused)
        return bool(refused)

    def _seed_by_method(self, seed):
        method = find_attribute(self.env, "seed")
        if callable(method) and takes_value(self.env, "seed"):
            method(seed)
            return
        kind = type(layers(self.env)[-1])
        if kind not in _unseedable:
            _unseedable.add(kind)
            sys.stderr.write(
                "envring: %s.%s takes no seed, neither by reset(seed=...) nor by seed(seed): its "
                "episodes cannot be repeated\n" % (kind.__module__, kind.__name__)
            )

    def _is_observation(self, pair):
        """Returns whether an apparent (observation, info) is an observation, a tuple of two."""
        space = self.env.observation_space
        if kind_of(space) != "tuple" or len(space.spaces) != 2:
            return False
        if _contains(space, pair[0]):
            return False
        return _contains(space, pair) or not isinstance(pair[0], (tuple, list))

    # -- render, close --------------------------------------------------------------------------

    def render(self):
        """Returns a frame, text or a list of frames; None if the env shows a window."""
        mode = self._mode
        if takes(self.env, "mode", "render") is False:
            mode = None
        elif mode is None and self.render_mode is None:
            # the old default is a window, which the user would not see
            modes = self.metadata.get("render_modes") or ()
            mode = "rgb_array" if "rgb_array" in modes else None
        frame = self.env.render() if mode is None else self.env.render(mode=mode)
        if isinstance(frame, list) and self.render_mode in _SINGLE:
            return frame[-1] if frame else None  # gym 0.25 gives all since the last call
        if hasattr(frame, "getvalue"):
            return frame.getvalue()  # a StringIO, for "ansi"
        return None if hasattr(frame, "write") else frame  # sys.stdout, for "human"

    def close(self):
        close = find_attribute(self.env, "close")
        if callable(close):
            close()

    # -- attributes -----------------------------------------------------------------------------

    @property
    def np_random_seed(self):
        """The env's, else the seed of the last reset that had one; -1 if unknown."""
        seed = find_attribute(self.env, "np_random_seed", self._seed)
        return -1 if seed is None else seed

    def get_wrapper_attr(self, name):
        return getattr(self, name) if name in _OWN else get_attribute(self.env, name)

    def has_wrapper_attr(self, name):
        return name in _OWN or has_attribute(self.env, name)

    def is_method(self, name):
        """Returns whether the attribute exists and can be called."""
        return self.has_wrapper_attr(name) and callable(self.get_wrapper_attr(name))

    def set_wrapper_attr(self, name, value, force=True):
        return set_attribute(self.env, name, value, force)


def _as_arrays(action):
    if isinstance(action, dict):
        return dict((key, _as_arrays(item)) for key, item in action.items())
    if isinstance(action, tuple):
        return tuple(_as_arrays(item) for item in action)
    return np.asarray(action)


def _contains(space, value):
    try:
        return bool(space.contains(value))
    except Exception:
        return False


def to_five(result):
    """Returns the result of a step as (obs, reward, terminated, truncated, info).

    Raises:
        ValueError: the result has neither four nor five items.
    """
    if len(result) == 5:
        return result
    if len(result) != 4:
        raise ValueError(
            "step returned %d items; it must return five (observation, reward, terminated, "
            "truncated, info) or, in old envs, four (observation, reward, done, info)" % len(result)
        )
    obs, reward, done, info = result
    truncated = bool(done) and isinstance(info, dict) and bool(info.get("TimeLimit.truncated"))
    return obs, reward, bool(done) and not truncated, truncated, info


class AdaptedSlice(EnvSlice):
    """A slice of adapted envs."""

    four_tuples = True  # the native loop may read them itself, by the rule of `to_five`

    def inside(self, env):
        return env.env

    def to_result(self, i, result):
        return to_five(result)

    def to_reward(self, i, reward):
        """Returns a reward as a float; old envs may return an array of one element."""
        if isinstance(reward, np.ndarray) and reward.size == 1:
            reward = reward.reshape(())
        return EnvSlice.to_reward(self, i, reward)

    def store_info(self, i, info, has_final=False):
        EnvSlice.store_info(self, i, {} if info is None else info, has_final)

    def finish_ended(self, i, result):
        obs, reward, terminated, truncated, info = to_five(result)
        obs = value_to_data(self.envs[i].observation_space, obs)
        EnvSlice.finish_ended(self, i, (obs, reward, terminated, truncated, info))

    def store_obs(self, i, obs):
        if self.obs_writer.has_dynamic:
            obs = value_to_data(self.envs[i].observation_space, obs)
        EnvSlice.store_obs(self, i, obs)
