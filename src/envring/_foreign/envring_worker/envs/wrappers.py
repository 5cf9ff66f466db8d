# SPDX-License-Identifier: MIT
"""Looking through wrappers: which keywords their methods take, which of them has an attribute.

Whether gym's wrappers forward attributes, or warn, depends on their version, so each layer is
checked by itself.
"""

from __future__ import absolute_import, division, print_function

import inspect

from ..names import layers, owns
from ..parameters import parameters

_LIBRARIES = ("gymnasium", "gym")


def takes(env, keyword, method="reset", deep=True):
    """Returns whether a method takes a keyword; None if its parameters do not tell.

    A wrapper that takes any keyword is assumed to forward it.
    """
    for layer in layers(env):
        names, any_keyword = parameters(getattr(layer, method, None))
        if names is None:
            return None
        if keyword in names:
            return True
        if not any_keyword:
            return False
        if not deep:
            break
    return None


def takes_value(env, method):
    """Returns whether a method seems to take a value. Wrappers of the libraries forward."""
    for layer in layers(env):
        if owns(layer, method) and type(layer).__module__.split(".")[0] not in _LIBRARIES:
            names, any_keyword = parameters(getattr(layer, method))
            return names is None or any_keyword or bool(names)
    return True


def get_attribute(env, name):
    """Returns the attribute of the outermost layer that has it.

    Raises:
        AttributeError: no layer has it.
    """
    if owns(env, "get_wrapper_attr"):
        return env.get_wrapper_attr(name)
    for layer in layers(env):
        if _finds(layer, name):
            return getattr(layer, name)
    raise AttributeError("%r object has no attribute %r" % (type(env).__name__, name))


def has_attribute(env, name):
    """Returns whether `get_attribute` finds it."""
    if owns(env, "has_wrapper_attr"):
        return env.has_wrapper_attr(name)
    return any(_finds(layer, name) for layer in layers(env))


def find_attribute(env, name, default=None):
    """Returns the attribute, or a default if no layer has it."""
    return get_attribute(env, name) if has_attribute(env, name) else default


def _finds(layer, name):
    """Returns whether a layer has the attribute, also by a `__getattr__` of its own."""
    if owns(layer, name):
        return True
    for cls in inspect.getmro(layer.__class__):  # Python 2 has classes without __mro__
        if "__getattr__" in vars(cls):
            # gymnasium's wrappers warn, and only look at the inner layers
            return cls.__module__.split(".")[0] not in _LIBRARIES and hasattr(layer, name)
    return False


def set_attribute(env, name, value, force=True):
    """Sets the attribute on the layer that has it; else, if forced, on the outermost layer.

    Returns:
        Whether it was set.
    """
    if owns(env, "set_wrapper_attr"):
        method = env.set_wrapper_attr
        if takes(env, "force", "set_wrapper_attr", deep=False):
            return method(name, value, force=force) is not False
        return method(name, value) is not False
    for layer in layers(env):
        if owns(layer, name):
            setattr(layer, name, value)
            return True
    if force:
        setattr(env, name, value)
    return force
