# SPDX-License-Identifier: MIT
"""Exceptions of envs, as they are sent to the caller."""

from __future__ import absolute_import, division, print_function

import sys

from .text import message_of, stack


def describe_error(error, dumps):
    """Returns the exception being handled: (bytes or None, its text, its traceback)."""
    kind, _, trace = sys.exc_info()
    # The first frame is this package's, which does not help an env's author.
    inner = trace.tb_next if trace is not None and trace.tb_next is not None else trace
    return _dump_error(error, dumps), message_of(error), stack(kind, error, inner)


def _dump_error(error, dumps):
    try:
        return dumps(error, check=True)
    except Exception:
        pass
    # If the constructor does not accept `args`, the caller rebuilds the exception from its parts.
    for state in (getattr(error, "__dict__", {}), {}):
        try:
            return dumps((type(error), error.args, state), check=True)
        except Exception:
            pass
    return None
