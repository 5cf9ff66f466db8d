# SPDX-License-Identifier: MIT
"""The env's side of a portal, which here only says how envs are made."""

import threading


class Started(BaseException):
    """A portal was started: the script has done its work."""


class EnvSidePortal(object):
    """Keeps an env factory until the worker asks for it.

    Args:
        env_factory: called with the caller's env_args and env_kwargs for each env.
        port: of no meaning here.
    """

    made = []
    started = []

    def __init__(self, env_factory, port=7000):
        self.env_factory = env_factory
        self.port = port
        self.made.append(self)

    def start(self):
        """Ends the script, if it is called where it could block the script."""
        self.started.append(self)
        if threading.current_thread().name == "MainThread":
            raise Started

    run = start
