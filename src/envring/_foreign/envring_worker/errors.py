# SPDX-License-Identifier: MIT
"""Why a worker or one of its envs cannot be built, as the caller is told."""

from __future__ import absolute_import, division, print_function

import sys

from .text import headline, stack


class Failed(Exception):
    """Why there will be no worker, as it travels.

    Args:
        env_id: the env that could not be built, -1 where it is the worker itself.
        kind: "version", "numpy", "library", "worker", "setup", "import", "unknown-id", "kwargs",
            "env" or "space".
        text: what happened.
        trace: a traceback as text, or "".
    """

    def __init__(self, env_id, kind, text, trace=u""):
        Exception.__init__(self, env_id, kind, text, trace)


class SourceError(Exception):
    """An env that cannot be made or described.

    Attributes:
        kind: "setup", "import", "unknown-id", "env", "space" or "kwargs".
        trace: traceback of what the env's own code raised, as text; "" where there is none.
        env: index of the env within the worker's slice, or None.
    """

    def __init__(self, kind, text, trace=u"", env=None):
        Exception.__init__(self, text)
        self.kind = kind
        self.trace = trace
        self.env = env


def raised(skip=1):
    """The exception under way: ("ValueError: no such level", its traceback).

    Args:
        skip: frames at the beginning that say nothing to an env's author.
    """
    kind, error, trace = sys.exc_info()
    for _ in range(skip):
        if trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
    return headline(kind, error), stack(kind, error, trace)
