# SPDX-License-Identifier: MIT
"""Errors that tell the caller why a worker or one of its envs cannot be built."""

from __future__ import absolute_import, division, print_function

import sys

from .text import headline, stack


class Failed(Exception):
    """The worker cannot start; the arguments are sent to the caller.

    Args:
        env_id: the env that could not be built, -1 for the worker itself.
        kind: "version", "numpy", "library", "worker", "setup", "import", "unknown-id", "kwargs",
            "env", "same-env" or "space".
        text: what happened.
        trace: a traceback as text, or "".
    """

    def __init__(self, env_id, kind, text, trace=u""):
        Exception.__init__(self, env_id, kind, text, trace)


class SourceError(Exception):
    """An env cannot be made or described.

    Attributes:
        kind: "setup", "import", "unknown-id", "env", "space" or "kwargs".
        trace: traceback of an exception of the env's own code, as text; "" if there is none.
        env: index of the env within the worker's slice, or None.
    """

    def __init__(self, kind, text, trace=u"", env=None):
        Exception.__init__(self, text)
        self.kind = kind
        self.trace = trace
        self.env = env


def raised(skip=1):
    """Returns the exception being handled: ("ValueError: no such level", its traceback).

    Args:
        skip: how many frames at the beginning belong to this package.
    """
    kind, error, trace = sys.exc_info()
    for _ in range(skip):
        if trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
    return headline(kind, error), stack(kind, error, trace)
