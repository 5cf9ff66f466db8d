# SPDX-License-Identifier: MIT
"""Which keywords a function takes, in any interpreter."""

from __future__ import absolute_import, division, print_function

import inspect

# kinds of parameters with inspect's numbers, and flags of code objects
_BY_POSITION, _EITHER, _ANY_VALUES, _BY_KEYWORD, _ANY_KEYWORD = range(5)
_HAS_ANY_VALUES, _HAS_ANY_KEYWORD = 0x04, 0x08


def takes_keyword(function, keyword):
    """Returns whether a function is known to take a keyword."""
    names, any_keyword = parameters(function)
    return bool(names is not None and (any_keyword or keyword in names))


def parameters(function):
    """Returns (keyword names, whether any other keyword is allowed), or (None, None) if unknown.

    The name "*" stands for positional-only and variadic parameters.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
        kinds = [(p.kind, p.name) for p in parameters]
        names = [name for kind, name in kinds if kind in (_EITHER, _BY_KEYWORD)]
        names += ["*" for kind, _ in kinds if kind in (_BY_POSITION, _ANY_VALUES)]
        return names, any(kind == _ANY_KEYWORD for kind, _ in kinds)
    except Exception:  # Python 2, a C function, or annotations that Python 3.14 cannot evaluate
        pass
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None:
        return None, None
    count = code.co_argcount + getattr(code, "co_kwonlyargcount", 0)
    first = 0 if getattr(function, "__self__", None) is None else 1
    names = code.co_varnames[first:count] + ("*",) * bool(code.co_flags & _HAS_ANY_VALUES)
    return names, bool(code.co_flags & _HAS_ANY_KEYWORD)
