# SPDX-License-Identifier: MIT
"""What ends a foreign worker before it has begun."""

from __future__ import absolute_import, division, print_function


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
