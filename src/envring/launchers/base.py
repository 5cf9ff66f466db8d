# SPDX-License-Identifier: MIT
"""What a launcher is: it describes how to start a worker's interpreter, not what runs there.

A launcher is a value. It may prepare what the interpreter needs (an environment, a prefix, the
arguments of a container engine); its caller starts the process.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from envring.errors import LauncherError

# -s: no user site; -u: prints of envs appear at once. The worker prevents bytecode of this
# package; a prefix may write bytecode of its own packages.
INTERPRETER_FLAGS = ("-s", "-u")


@dataclass(frozen=True)
class Needs:
    """What a worker needs where it will run.

    Attributes:
        files: absolute paths of files and directories that the worker must be able to read.
        segment: path of the shared segment's file, for launchers with `named_segment`; the file
            exists when `prepare` is called and may still be empty.
        environ: environment variables to set for the worker; None removes one. They override
            what the interpreter's activation sets.
    """

    files: tuple[str, ...] = ()
    segment: str | None = None
    environ: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """How to start one worker; valid until what it was prepared from changes.

    Start the command as the leader of a process group of its own, and end that group: the command
    may be a wrapper with the worker as its child.

    Attributes:
        argv: command up to and including the interpreter's flags; the worker's path follows.
        environ: the complete environment of that command.
        map_path: turns the caller's path of a file into the worker's path of it.
        shares_fds: whether descriptors that the command inherits reach the worker.
        stop_argv: command that ends what would outlive a SIGKILL of the first one, or None.
        description: for errors, "prefix /x (Python 3.9)".
        cwd: directory to start in; None: the caller's.
        own_session: whether the command leads a session of its own, which separates it from the
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

    A worker inside has no network. It sees only the system's directories, the interpreter with
    its packages, and the env's files, all of them read-only. The home directory and `/tmp` are
    empty and writable, and are deleted when the worker ends.

    Attributes:
        read: further files and directories that workers may read, absolute or beginning with `~`.
        write: files and directories that workers may write.
        network: whether workers have network access.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    network: bool = False

    def __post_init__(self) -> None:
        """Makes the paths absolute.

        Raises:
            LauncherError: a path is not valid.
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

    A subclass is a frozen dataclass. It checks its arguments when it is made, and looks at files
    and programs only in `prepare`.

    Attributes:
        sandbox: whether workers run without network, on a read-only file system.
        named_segment: whether the segment must be a file with a path, because descriptors do not
            reach the worker.
    """

    named_segment: ClassVar[bool] = False

    sandbox: bool | Sandbox = field(default=False, kw_only=True)

    @abstractmethod
    def prepare(self, needs: Needs) -> Launch:
        """Prepares what a worker needs, and returns how to start it.

        Args:
            needs: what the worker needs where it will run.

        Raises:
            LaunchError: the interpreter cannot be started; raised as one of the subclasses.
        """


def absolute_path(path: object, what: str) -> str:
    """Returns an absolute path, with `~` expanded and symbolic links as they are.

    Args:
        path: what a user gave.
        what: for the error: "Prefix(path)".

    Raises:
        LauncherError: it is not a path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise LauncherError(f"{what} takes a path, not {path!r}.")
    text = os.fspath(path)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise LauncherError(f"{what} takes a path, not {text!r}.")
    return os.path.abspath(os.path.expanduser(text))
