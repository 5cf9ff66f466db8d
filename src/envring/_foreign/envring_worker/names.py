# SPDX-License-Identifier: MIT
"""What `call` does with a name: it calls an attribute, or asks about one.

A name with a colon asks: "get:NAME" gives the attribute, without calling it; "has:NAME" whether it
is there; "set:NAME" sets it on the outermost wrapper, wherever else it is; "run:NAME" calls it,
`reset`, `step` and `close` too; "seed:NAME" seeds it, which is a space; "wrapped:NAME" whether a
wrapper is of a class of that name, or of one that is derived from it. Interfaces of other libraries
have these.
"""

from __future__ import absolute_import, division, print_function

import inspect

from .parameters import takes_keyword

_MAX_LAYERS = 100
_OWN_METHODS = ("reset", "step", "close")
_NOT_CALLABLE_BY_NAME = _OWN_METHODS + ("_setattr", "_check_spaces")


def call(env, inside, name, args, kwargs):
    """Returns what `call` gives of one env.

    Args:
        env: the env.
        inside: the env as its author made it: without what adapts it.
        name: of an attribute, or a question.
        args: of what is called.
        kwargs: of what is called.
    """
    check_name(name)
    question, _, attribute = name.partition(":")
    if question in _QUESTIONS and attribute:
        return _QUESTIONS[question](env, inside, attribute, *args, **kwargs)
    found = env.get_wrapper_attr(name)
    return found(*args, **kwargs) if callable(found) else found


def check_name(name):
    """Refuses methods that `call` does not call."""
    if name in _NOT_CALLABLE_BY_NAME:
        text = "Trying to call function `{0}` with `call`, use `{0}` directly instead."
        raise ValueError(text.format(name))


def takes(env, name, keyword):
    """Returns whether an env's method is known to take a keyword."""
    try:
        return takes_keyword(env.get_wrapper_attr(name), keyword)
    except Exception:
        return False


def layers(env):
    """Returns the layers of an env, from the outermost wrapper to the innermost env."""
    found = [env]
    while len(found) < _MAX_LAYERS:
        inner = getattr(found[-1], "env", None) if owns(found[-1], "env") else None
        if not hasattr(inner, "reset") or not hasattr(inner, "step"):
            break
        found.append(inner)
    return found


def owns(layer, name):
    """Returns whether a layer has the attribute itself, without forwarding to inner layers."""
    return name in getattr(layer, "__dict__", ()) or hasattr(layer.__class__, name)


def _get(env, inside, name):
    return env.get_wrapper_attr(name)


def _has(env, inside, name):
    return bool(env.has_wrapper_attr(name))


def _set(env, inside, name, value):
    setattr(inside, name, value)


def _run(*args, **kwargs):
    env, _, name = args[:3]  # a method may have any parameters
    found = getattr(env, name) if name in _OWN_METHODS else env.get_wrapper_attr(name)
    return found(*args[3:], **kwargs)


def _seed(env, inside, name, seed):
    env.get_wrapper_attr(name).seed(seed)


def _wrapped(env, inside, name, module):
    return any(
        cls.__module__ == module and getattr(cls, "__qualname__", cls.__name__) == name
        for layer in layers(inside)[:-1]
        for cls in inspect.getmro(layer.__class__)  # Python 2 has classes without __mro__
    )


_QUESTIONS = {
    "get": _get,
    "has": _has,
    "set": _set,
    "run": _run,
    "seed": _seed,
    "wrapped": _wrapped,
}
