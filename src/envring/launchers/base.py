# SPDX-License-Identifier: MIT
"""What a launcher is: it says how a worker's interpreter is started, not what runs there.

A launcher is a value. It may prepare what the interpreter needs (an environment, a prefix, the
arguments of a container engine); the process itself is started by whoever asked.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from envring.errors import LauncherError

# -s: no user site; -u: prints of envs are seen at once. The worker itself sees to it that no
# bytecode of ours is written, and what a prefix compiles of its own packages is its own affair.
INTERPRETER_FLAGS = ("-s", "-u")


@dataclass(frozen=True)
class Needs:
    """What a worker needs of the place in which it is to run.

    Attributes:
        files: absolute paths of files and directories that must be readable there.
        segment: path of the file that is the shared segment, for launchers with `named_segment`;
            it exists when the launcher is asked and may still be empty.
        environ: environment variables to set there; None removes one. They win over what the
            interpreter's own activation sets.
    """

    files: tuple[str, ...] = ()
    segment: str | None = None
    environ: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """How to start one worker; valid until what it was prepared from changes.

    The command is to lead a process group of its own and to be ended through it: what it names may
    be a wrapper, and the worker a child of that.

    Attributes:
        argv: command up to and including the interpreter's flags; the worker's path follows.
        environ: the complete environment of that command.
        map_path: the path there of a file here.
        shares_fds: whether descriptors that the command inherits reach the worker.
        stop_argv: command that ends what would outlive a SIGKILL of the first one, or None.
        description: for errors, "prefix /x (Python 3.9)".
        cwd: directory to start in; None: the caller's.
        own_session: whether the command is to lead a session of its own, which keeps it from the
            caller's terminal. That costs throughput: a kernel that groups processes by session
            (autogroup) does not let caller and worker take turns on a CPU by yielding it.
    """

    argv: tuple[str, ...]
    environ: dict[str, str]
    description: str
    map_path: Callable[[str], str] = str
    shares_fds: bool = True
    stop_argv: tuple[str, ...] | None = None
    cwd: str | None = None
    own_session: bool = False


@dataclass(frozen=True)
class Sandbox:
    """A sandbox with openings; `sandbox=True` means one without any.

    Inside, there is no network, and of the file system only the system's own directories, the
    interpreter with its packages, and the env's files, all of them read-only. The home directory
    and `/tmp` are empty, writable, and gone with the worker.

    Attributes:
        read: further files and directories to be readable, absolute or beginning with `~`.
        write: files and directories to be writable.
        network: whether the network is there.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    network: bool = False

    def __post_init__(self) -> None:
        """Makes the paths absolute.

        Raises:
            LauncherError: a path is none.
        """
        for name in ("read", "write"):
            paths = getattr(self, name)
            if not isinstance(paths, (tuple, list)):
                paths = (paths,)
            whole = tuple(absolute_path(path, f"Sandbox({name}=)") for path in paths)
            object.__setattr__(self, name, whole)


@dataclass(frozen=True)
class Launcher(ABC):
    """Where workers run. Equal launchers mean the same place: their envs may share workers.

    A subclass is a frozen dataclass. It takes its arguments apart when it is made, and looks at the
    world only when asked to prepare.

    Attributes:
        sandbox: whether workers run without network, on a read-only file system.
        named_segment: whether the segment must be a file with a path, because descriptors do not
            reach the worker.
    """

    named_segment: ClassVar[bool] = False

    sandbox: bool | Sandbox = field(default=False, kw_only=True)

    @abstractmethod
    def prepare(self, needs: Needs) -> Launch:
        """Makes ready what a worker needs, and says how to start it.

        Args:
            needs: what the worker needs there.

        Raises:
            LaunchError: one of its kinds; the interpreter cannot be started like this.
        """


def absolute_path(path: object, what: str) -> str:
    """An absolute path, with `~` expanded and symbolic links as they are.

    Args:
        path: what a user gave.
        what: for the error: "Prefix(path)".

    Raises:
        LauncherError: it is no path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise LauncherError(f"{what} takes a path, not {path!r}.")
    text = os.fspath(path)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise LauncherError(f"{what} takes a path, not {text!r}.")
    return os.path.abspath(os.path.expanduser(text))
