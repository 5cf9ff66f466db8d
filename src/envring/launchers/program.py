# SPDX-License-Identifier: MIT
"""Workers that are programs of their own, in C++ or another language."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from envring.launchers import environment, executable, sandbox
from envring.launchers.base import Launch, Launcher, Needs, absolute_path


def get_include() -> str:
    """Returns the directory of `envring_worker.hpp`, with which a `Program` is written in C++."""
    return str(Path(__file__).parents[1] / "include")


@dataclass(frozen=True)
class Program(Launcher):
    """A worker without Python: a program that serves envs through libenvring.so.

    `envring_worker.hpp` in `get_include()` is what it takes in C++. What an `EnvSource` names is
    for the program to read; it may serve one kind of env only.

    Attributes:
        path: the program.
        sandbox: whether it runs without network, on a read-only file system.
    """

    path: str

    def __post_init__(self) -> None:
        """Makes the path absolute.

        Raises:
            LauncherError: it is not a path.
        """
        object.__setattr__(self, "path", absolute_path(self.path, "Program(path)"))

    def prepare(self, needs: Needs) -> Launch:
        """Looks whether the program can run here.

        Raises:
            InterpreterError: it is missing or cannot run here.
            LauncherError: bubblewrap, which the sandbox needs, is missing or fails.
        """
        executable.check(self.path, f"The program {self.path}")
        environ = environment.clean(os.environ)
        environment.override(environ, needs.environ)
        launch = Launch(argv=(self.path,), environ=environ, description=f"program {self.path}")
        return sandbox.confine(launch, self.sandbox, self.path, needs)
