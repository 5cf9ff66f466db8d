# SPDX-License-Identifier: MIT
"""The env's side of a portal, which here only keeps the env factory."""

import threading


class Started(BaseException):
    """A portal was started: the script needs to run no further."""


class EnvSidePortal(object):
    """Keeps an env factory until the worker asks for it.

    Args:
        env_factory: called with the caller's env_args and env_kwargs for each env.
        port: ignored.
    """

    made = []
    started = []

    def __init__(self, env_factory, port=7000):
        self.env_factory = env_factory
        self.port = port
        self.made.append(self)

    def start(self):
        """Ends the script, if it is called in the main thread, where the original blocks."""
        self.started.append(self)
        if threading.current_thread().name == "MainThread":
            raise Started

    run = start
