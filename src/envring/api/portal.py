# SPDX-License-Identifier: MIT
"""Portal-Env's names: an agent's side and an env's side, over what this package has."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envring.api.single import RingEnv
from envring.api.vector import RingVectorEnv
from envring.errors import LauncherError
from envring.launchers import directories
from envring.launchers.base import Launcher
from envring.launchers.micromamba import Micromamba
from envring.launchers.sources import EnvSource
from envring.prefixes import solvers

# Portal-Env's names of what makes a prefix: whichever of the programs there is
_ANY_SOLVER = ("micromamba", "mm")


def open_directory(
    path: str | os.PathLike[str],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    solver: str | None = None,
    sandbox: bool = False,
) -> tuple[EnvSource, Micromamba]:
    """The source and the launcher of an env directory, which needs no change.

    Args:
        path: the directory; a "dir:" before it is ignored. "recipe:NAME" is a directory that
            comes with envring.
        args: of the factory that its env_main.py gives to EnvSidePortal.
        kwargs: its keyword arguments.
        solver: which program installs the packages; see Micromamba.
        sandbox: whether workers run without network, on a read-only file system.

    Returns:
        The source of the env, and its launcher.

    Raises:
        SourceError: if the directory lacks a file, or an argument is not plain data.
        SpecError: if there is no recipe of that name.
    """
    launcher = directories.launcher_of(path, solver=solver, sandbox=sandbox)
    main = directories.main_file(path)
    return EnvSource(str(main), args=tuple(args), kwargs=dict(kwargs or {}), portal=True), launcher


def directory_named(name: str) -> str:
    """Returns "dir:PATH" or "recipe:NAME" for the name of an env in Portal-Env's sense.

    Args:
        name: a recipe ("ale", or "atari" as Portal-Env also calls it), or a directory's path.
    """
    if name.startswith(directories.SCHEMES):
        return name
    if os.sep in name or Path(name, directories.MAIN_FILE).is_file():
        return f"dir:{name}"
    return f"recipe:{name}"


def launcher_for(directory: str, backend: str | Launcher | None) -> str | Launcher:
    """Returns the launcher that Portal-Env's `backend` means.

    Args:
        directory: "dir:PATH" or "recipe:NAME".
        backend: "docker" for the image that Portal-Env builds, "micromamba" or "mm" for a prefix,
            a solver's name, a launcher, or None: a prefix.

    Raises:
        LauncherError: it means nothing.
        SourceError: the directory has no spec.
    """
    if isinstance(backend, Launcher) or (backend is not None and ":" in backend):
        return backend
    if backend == "docker":
        return f"docker:env_portal_{directories.locate(directory).name}".lower()
    if backend is not None and backend not in (*_ANY_SOLVER, *solvers.NAMES):
        raise LauncherError(
            f"There is no backend {backend!r}: use docker, micromamba (mm), "
            f"{', '.join(solvers.NAMES[1:])}, or a launcher."
        )
    solver = None if backend in _ANY_SOLVER else backend
    return directories.launcher_of(directory, solver=solver)


class AgentSidePortal(RingEnv):
    """Portal-Env's agent side: one env of a directory or a recipe, in a process of its own.

    With `num_envs` it is a RingVectorEnv instead.

    Example:
        >>> from envring import AgentSidePortal
        >>> env = AgentSidePortal("ale", env_args=["ALE/Pong-v5"])  # doctest: +SKIP
    """

    def __new__(
        cls,
        env_name: str,
        env_args: Sequence[Any] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        num_envs: int | None = None,
        agent_in_docker: bool = False,
        *,
        backend: str | Launcher | None = None,
        **options: Any,
    ) -> Any:
        """Makes a vector env if `num_envs` is given."""
        if num_envs is None:
            return super().__new__(cls)
        source = _source(env_name, env_args, env_kwargs, backend)
        return RingVectorEnv([source] * num_envs, **options)

    def __init__(
        self,
        env_name: str,
        env_args: Sequence[Any] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        num_envs: int | None = None,
        agent_in_docker: bool = False,
        *,
        backend: str | Launcher | None = None,
        **options: Any,
    ) -> None:
        """Builds what the env needs, if that was not done before, and starts it.

        Args:
            env_name: a recipe's name ("ale", "mujoco"), or the path of an env directory.
            env_args: arguments of the factory that the directory's env_main.py gives.
            env_kwargs: its keyword arguments.
            num_envs: None for one env, else the number of envs of a RingVectorEnv.
            agent_in_docker: ignored: nothing goes over a network.
            backend: "micromamba" or "mm" (None means the same), "docker", a solver, or a launcher.
            **options: those of RingEnv; with `num_envs` those of RingVectorEnv.

        Raises:
            SourceError: the directory lacks a file, or an argument is not plain data.
            LauncherError: the backend is unknown.
            LaunchError: what the env needs cannot be built, or the env cannot.
        """
        super().__init__(_source(env_name, env_args, env_kwargs, backend), **options)


def _source(
    name: str,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    backend: str | Launcher | None,
) -> EnvSource:
    directory = directory_named(name)
    launcher = launcher_for(directory, backend)
    return EnvSource(directory, args=args or (), kwargs=kwargs or {}, launcher=launcher)


class EnvSidePortal:
    """Portal-Env's env side: an env_main.py gives it the function that makes an env.

    A worker that runs the script takes the function and does not come back from `start`. Anywhere
    else `start` serves nothing: it says how the env is used.
    """

    def __new__(cls, env_factory: Callable[..., Any], port: int = 7000) -> Any:
        """Makes the portal of the worker, in a worker."""
        worker = sys.modules.get("portal_env.env_side_portal")
        if worker is not None and hasattr(worker, "Started"):
            return worker.EnvSidePortal(env_factory, port)
        return super().__new__(cls)

    def __init__(self, env_factory: Callable[..., Any], port: int = 7000) -> None:
        """Keeps the function.

        Args:
            env_factory: called with the agent's env_args and env_kwargs for each env.
            port: ignored: nothing listens.
        """
        self.env_factory = env_factory
        self.port = port

    def start(self) -> None:
        """Says how the env is used."""
        directory = os.path.dirname(os.path.abspath(sys.argv[0])) or "DIRECTORY"
        print(usage(f"dir:{directory}"))

    run = start


def usage(directory: str) -> str:
    """Returns how an env directory is used, as Python.

    Args:
        directory: "dir:PATH" or "recipe:NAME".
    """
    return (
        "Nothing needs to be served: the env starts with the program that uses it.\n"
        f"  env = envring.make({directory!r}, env_args=[...], env_kwargs={{...}})\n"
        f"  envs = envring.make_vec({directory!r}, num_envs=8, env_args=[...])"
    )
