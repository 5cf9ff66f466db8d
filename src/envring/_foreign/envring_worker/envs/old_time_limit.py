# SPDX-License-Identifier: MIT
"""Time limits of gym up to 0.11, whose wrapper ends an episode but does not report truncation."""

from __future__ import absolute_import, division, print_function

from .wrappers import layers

_KEY = "TimeLimit.truncated"


def report_truncations(env):
    """Makes such wrappers add the info key of gym 0.12, "TimeLimit.truncated"."""
    for layer in layers(env):
        kind = type(layer)
        if kind.__name__ != "TimeLimit" or not kind.__module__.startswith("gym.wrappers"):
            continue
        for name in ("_step", "step"):
            function = vars(kind).get(name)
            if function is None:
                continue
            code = getattr(function, "__code__", None)
            if code is not None and _KEY not in code.co_consts and hasattr(layer, "_past_limit"):
                setattr(layer, name, _step_of(layer, getattr(layer, name)))
            break


def _step_of(limit, original):
    def step(action):
        if limit._episode_started_at is None:
            return original(action)  # raises: there was no reset
        observation, reward, done, info = limit.env.step(action)
        limit._elapsed_steps += 1
        if limit._past_limit():
            if limit.metadata.get("semantics.autoreset"):
                limit.reset()
            if isinstance(info, dict):
                info[_KEY] = not done
            done = True
        return observation, reward, done, info

    return step
