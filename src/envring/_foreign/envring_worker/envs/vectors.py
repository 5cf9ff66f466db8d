# SPDX-License-Identifier: MIT
"""Gymnasium's vector envs: what they say of themselves, and their attributes."""

from __future__ import absolute_import, division, print_function

import sys

import numpy as np

from .wrappers import get_attribute, layers, set_attribute

_BASE = "gymnasium.vector.vector_env"  # where classes forward to what they wrap

MIXED = (
    u"one of env_fns[%d] and env_fns[%d] makes a vector env, and the other one a single env. Let "
    u"all make vector envs: gymnasium.vector.SyncVectorEnv([env_fn], autoreset_mode=...) makes one "
    u"of a single env"
)


def is_vector_env(env):
    """Returns whether an env is a vector env of Gymnasium 1.0 or newer."""
    kind = getattr(sys.modules.get("gymnasium.vector"), "VectorEnv", None)
    if kind is None or issubclass(kind, sys.modules["gymnasium"].Env):  # as it was before
        return False
    return isinstance(env, kind)


def vectors_of(envs):
    """Returns (number of envs, autoreset mode or None) of each vector env; None for single envs."""
    if not is_vector_env(envs[0]):
        return None
    return [(int(env.num_envs), autoreset_mode(env)) for env in envs]


def autoreset_mode(env):
    """Returns the name of the mode in which a vector env resets its envs; None if it says none."""
    mode = (env.metadata or {}).get("autoreset_mode")
    mode = getattr(mode, "value", mode)
    return mode if isinstance(mode, str) else None


def check_vector_env(env, name):
    """Checks what a vector env says of itself.

    Raises:
        TypeError: it does not say how many envs it has, or what one of them is.
    """
    if not isinstance(env.num_envs, (int, np.integer)) or env.num_envs < 1:
        raise TypeError("%s returned a vector env with num_envs %r" % (name, env.num_envs))
    for attribute in ("single_observation_space", "single_action_space"):
        if getattr(env, attribute, None) is None:
            raise TypeError("%s returned %.200r, which has no %s" % (name, env, attribute))


def iterated(space, batch):
    """Returns the items of a batch of a batched space."""
    return list(sys.modules["gymnasium.vector.utils"].iterate(space, batch))


def batched(space, items):
    """Returns items of a space as a batch."""
    utils = sys.modules["gymnasium.vector.utils"]
    return utils.concatenate(space, items, utils.create_empty_array(space, n=len(items)))


def result_of(env, name, args, kwargs):
    """Returns what a vector env has under a name, called if it is callable.

    A wrapper's own attribute comes first; then, as its `call` gives it, that of each env of a
    SyncVectorEnv and its like; then the vector env's own.
    """
    if name == "render":
        return env.render(*args, **kwargs)
    for layer in layers(env):
        if _defines(layer, name):
            break
        if callable(getattr(layer, "call", None)):
            return layer.call(name, *args, **kwargs)
    attribute = get_attribute(env, name)
    return attribute(*args, **kwargs) if callable(attribute) else attribute


def set_value(env, name, values):
    """Sets an attribute where `result_of` finds it; `values` has one for each row."""
    for layer in layers(env):
        if _defines(layer, name):
            break
        if callable(getattr(layer, "set_attr", None)):
            layer.set_attr(name, values)
            return
    if not all(_same(value, values[0]) for value in values[1:]):
        raise ValueError(
            "%r is an attribute of a vector env, the same for its %d envs, and got values that "
            "differ" % (name, len(values))
        )
    set_attribute(env, name, values[0])


def _defines(layer, name):
    """Returns whether a wrapper has an attribute that it does not only forward."""
    if not hasattr(layer, "env"):
        return False
    if name in vars(layer):
        return True
    return any(name in vars(cls) for cls in type(layer).__mro__ if cls.__module__ != _BASE)


def _same(value, other):
    try:
        return value is other or bool(np.array_equal(value, other))
    except Exception:
        return False


def per_row(value, count):
    """Returns a result for each row: the items of a list or tuple of so many, or else the whole."""
    if isinstance(value, (list, tuple)) and len(value) == count:
        return list(value)
    return [value] * count
