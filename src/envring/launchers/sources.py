# SPDX-License-Identifier: MIT
"""Which env to build, as data: the one form that every interpreter understands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envring.errors import SourceError

if TYPE_CHECKING:
    from envring.launchers.base import Launcher, Sandbox

_SEPARATOR = ":"


def _as_directory(text: object) -> str | None:
    """Returns "dir:..." and "recipe:...", None for anything else."""
    return text if isinstance(text, str) and text.startswith(("dir:", "recipe:")) else None


def _check_json(value: Any, where: str) -> None:
    """Refuses values that JSON would change, and names the place."""
    if value is None or type(value) in (bool, int, float, str):
        return
    if type(value) in (list, tuple):
        for i, item in enumerate(value):
            _check_json(item, f"{where}[{i}]")
        return
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise SourceError(f"{where} has the key {key!r}: keys must be strings.")
            _check_json(item, f"{where}[{key!r}]")
        return
    raise SourceError(
        f"{where} is {value!r} ({type(value).__name__}), which cannot be sent to another "
        "interpreter. Use None, bools, numbers, strings, lists and dicts, or build the value in a "
        "function of your own: EnvSource('file.py:function')."
    )


def _absolute(path: str, what: str) -> str:
    full = os.path.abspath(os.path.expanduser(path))
    if not os.path.isfile(full):
        raise SourceError(f"{what}: there is no file {full}.")
    return full


@dataclass(frozen=True)
class EnvSource:
    """How to build one env, in this interpreter or in another one.

    Calling a source builds the env in this interpreter, so a source can stand in for an env
    function.

    Attributes:
        env: a registered id ("CartPole-v1", "module:Id-v0"), "package.module:attribute", or
            "path/to/file.py:attribute". An attribute is called with args and kwargs.
            "dir:PATH" is a directory as Portal-Env has them, "recipe:NAME" one that comes with
            envring; args and kwargs are those of its factory.
        args: positional arguments, plain data.
        kwargs: keyword arguments, plain data; for ids those of `make`.
        imports: modules to import first, which register ids.
        setup: a Python file to run first, once per worker, or None.
        launcher: where this env runs; None: where the vector env's `launcher` says. A directory
            or recipe has one of its own, unless this names another.
        portal: whether `env` is a script that passes a factory to Portal-Env's EnvSidePortal.
        sandbox: of the launcher of a directory or recipe.
        solver: of the launcher of a directory or recipe; see Micromamba.
        remotes: hosts that this env runs on, as RingVectorEnv's `remotes`; None: where that says.
            Files that `env` names are theirs.

    Raises:
        SourceError: an argument is not plain data, or a file does not exist.

    Example:
        >>> source = EnvSource("CartPole-v1", kwargs={"render_mode": "rgb_array"})
        >>> env = source()
        >>> env.close()
    """

    env: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    imports: Sequence[str] = ()
    setup: str | os.PathLike[str] | None = None
    launcher: Launcher | str | None = None
    portal: bool = False
    sandbox: bool | Sandbox = False
    solver: str | None = None
    remotes: str | None = None

    @classmethod
    def elsewhere(
        cls, env: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> EnvSource:
        """A source for an env host: files that it names are the host's, and not looked for here.

        Raises:
            SourceError: an argument is not plain data.
        """
        source = cls("-", args, kwargs or {})
        object.__setattr__(source, "env", env)
        object.__setattr__(source, "asked", env)
        return source

    def __post_init__(self) -> None:
        """Checks what the caller's interpreter can check, and makes paths absolute."""
        if not isinstance(self.env, str) or not self.env:
            raise SourceError(
                f"env must be an id, 'module:attr' or 'file.py:attr', not {self.env!r}."
            )
        if isinstance(self.imports, str):
            raise SourceError(f"imports must be a list of module names, not {self.imports!r}.")
        object.__setattr__(self, "asked", self.env)  # as it was written
        _check_json(list(self.args), "args")
        _check_json(dict(self.kwargs), "kwargs")
        if self.remotes is not None:
            self._check_remotes()
            return
        for name in self.imports:
            if not isinstance(name, str):
                raise SourceError(f"imports must be module names, not {name!r}.")
        self._open_directory()
        path, attribute = self._split()
        if path is not None:
            path = _absolute(path, self.env)
            full = path if self.portal else f"{path}{_SEPARATOR}{attribute}"
            object.__setattr__(self, "env", full)
        if self.setup is not None:
            object.__setattr__(self, "setup", _absolute(os.fspath(self.setup), "setup"))

    def _open_directory(self) -> None:
        """Replaces "dir:..." and "recipe:..." by the script and the launcher that they mean."""
        directory = _as_directory(self.env)
        own = _as_directory(self.launcher)
        if directory is None and own is None:
            if self.sandbox or self.solver is not None:
                raise SourceError(
                    'sandbox= and solver= are for "dir:..." and "recipe:...". Give them to the '
                    "launcher instead: Prefix(path, sandbox=True), Micromamba(spec, solver=...)."
                )
            return
        from envring.launchers import directories  # imports what builds prefixes

        if directory is not None:
            object.__setattr__(self, "env", str(directories.main_file(directory)))
            object.__setattr__(self, "portal", True)
        where = own or (directory if self.launcher is None else None)
        if where is not None:
            launcher = directories.launcher_of(where, solver=self.solver, sandbox=self.sandbox)
            object.__setattr__(self, "launcher", launcher)
        elif self.sandbox or self.solver is not None:
            raise SourceError(f"Give sandbox= and solver= to the launcher {self.launcher!r}.")
        # they are the launcher's now: a copy of this source is not opened again
        object.__setattr__(self, "sandbox", False)
        object.__setattr__(self, "solver", None)

    def _split(self) -> tuple[str | None, str]:
        """Returns (file, attribute); the file is None for a module or an id."""
        if self.portal:
            return self.env, ""
        path, separator, attribute = self.env.rpartition(_SEPARATOR)
        if not separator:
            if self.env.endswith(".py"):
                raise SourceError(
                    f"{self.env!r} names a file but no function in it: write 'file.py:function'."
                )
            return None, ""
        if not path.endswith(".py"):
            return None, attribute
        if not attribute:
            raise SourceError(
                f"{self.env!r} names no function in that file: write 'file.py:function'."
            )
        return path, attribute

    @property
    def files(self) -> tuple[str, ...]:
        """Absolute paths that a worker must be able to read: files' directories, for imports."""
        path, _ = self._split()
        found = [] if path is None else [os.path.dirname(path)]
        if self.setup is not None:
            found.append(os.fspath(self.setup))
        return tuple(found)

    def data(self, map_path: Callable[[str], str] = str) -> dict[str, Any]:
        """Returns the plain data to send to a worker.

        Args:
            map_path: turns the caller's paths into the worker's paths.
        """
        path, attribute = self._split()
        env = self.env
        if path is not None:
            env = map_path(path) if self.portal else f"{map_path(path)}{_SEPARATOR}{attribute}"
        return {
            "env": env,
            "args": json.loads(json.dumps(list(self.args))),
            "kwargs": json.loads(json.dumps(dict(self.kwargs))),
            "imports": list(self.imports),
            "setup": None if self.setup is None else map_path(os.fspath(self.setup)),
            "portal": self.portal,
        }

    def request(self) -> dict[str, Any]:
        """What an env host is asked for: which env, with which arguments."""
        data = EnvSource.data(self)
        asked: str = self.__dict__["asked"]
        return {"env": asked, "args": data["args"], "kwargs": data["kwargs"]}

    def _check_remotes(self) -> None:
        """Refuses what is not a host's business."""
        if not isinstance(self.remotes, str):
            raise SourceError(f"remotes must be addresses of hosts, not {self.remotes!r:.100}.")
        own = ("imports", "setup", "launcher", "portal", "sandbox", "solver")
        given = [name for name in own if getattr(self, name)]
        if given:
            raise SourceError(
                f"{given[0]}= is decided by the hosts of remotes=, in their serve.toml. Leave one "
                "of them out."
            )

    def __call__(self) -> Any:
        """Builds the env in this interpreter.

        Raises:
            SourceError: there is no such id, module or attribute.
            Exception: whatever the env's constructor raised.
        """
        from envring._foreign.envring_worker.envs import sources

        data = self.data()
        try:
            sources.prepare([data])
            made = sources.make_env(data)
        except sources.SourceError as error:
            raise SourceError(str(error)) from error
        # a Gymnasium env needs no adapter; if it is one, gymnasium has been imported
        gymnasium = sys.modules.get("gymnasium")
        modern = gymnasium is not None and isinstance(made.env, gymnasium.Env)
        return made.env if modern and not self.portal else made
