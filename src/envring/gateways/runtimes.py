# SPDX-License-Identifier: MIT
"""Runtimes: what a host serves, and where it runs. What is not listed is not served."""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envring.cpus import usable_cpus
from envring.errors import HostRefused, LauncherError, SourceError, SpecError
from envring.launchers.base import Launcher
from envring.launchers.prefix import Python
from envring.launchers.registry import resolve
from envring.launchers.sources import EnvSource

_DIRECTORIES = ("dir:", "recipe:")
_PARTS = re.compile(r"([:/\\])")  # of an env's name, and what is between them


@dataclass(frozen=True)
class Runtime:
    """Envs that a host serves, and the interpreter that they run in.

    Attributes:
        name: of the runtime.
        envs: ids or patterns ("MountainCar*") of envs; the first that is not a pattern is what a
            caller gets who names none. The signs of a pattern match no colon and no slash: "*"
            is every registered id without these, no "mod:Id", "file.py:attr" or "dir:PATH".
        launcher: of its workers; None for the host's own interpreter.
        kwargs: keyword arguments of every env; a caller cannot change these.
        allow_kwargs: whether a caller may give further ones.
        imports: modules to import first, which register ids.
        setup: a Python file to run first, or None.
        slots: the most envs at a time, None for no limit.
        workers: the most worker processes of a session, None for the CPUs there are.
        step_timeout: the most seconds that a step may take, None for what the caller asks.
        reset_timeout: the same for a reset.
    """

    name: str
    envs: tuple[str, ...]
    launcher: Launcher | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    allow_kwargs: bool = True
    imports: tuple[str, ...] = ()
    setup: str | None = None
    slots: int | None = None
    workers: int | None = None
    step_timeout: float | None = None
    reset_timeout: float | None = None

    @property
    def default(self) -> str | None:
        """The env of a caller who names none."""
        return next((each for each in self.envs if not _is_pattern(each)), None)

    def serves(self, env: str) -> bool:
        """Whether an env of that name may be asked for."""
        return any(_matches(env, each) for each in self.envs)

    def source(self, asked: Mapping[str, Any]) -> EnvSource:
        """The source of an env that a caller asked for; nothing is imported for that.

        Raises:
            HostRefused: it may not have it.
        """
        env = self.default if _is_none(asked.get("env")) else asked["env"]
        if not isinstance(env, str) or not self.serves(env):
            raise HostRefused(f"The runtime {self.name!r} does not serve {env!r:.100}.", "env")
        args, kwargs = asked.get("args"), asked.get("kwargs")
        args, kwargs = [] if args is None else args, {} if kwargs is None else kwargs
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise HostRefused("The arguments of an env are a list and a dict.", "env")
        if not all(isinstance(each, str) for each in kwargs):
            raise HostRefused("The names of an env's arguments are text.", "env")
        if (args or kwargs) and not self.allow_kwargs:
            raise HostRefused(f"The runtime {self.name!r} takes no arguments of its envs.", "env")
        fixed = sorted(self.kwargs.keys() & kwargs.keys())
        if fixed:
            raise HostRefused(f"The runtime {self.name!r} has {fixed[0]!r} fixed.", "env")
        try:
            return EnvSource(
                env,
                args=args,
                kwargs={**kwargs, **self.kwargs},
                imports=self.imports,
                setup=self.setup,
                launcher=None if env.startswith(_DIRECTORIES) and not self.launcher else self.where,
            )
        except SourceError as error:
            raise HostRefused(str(error), "env") from None

    @property
    def where(self) -> Launcher:
        """The launcher of its workers. They never run in the host's process."""
        return Python(sys.executable) if self.launcher is None else self.launcher


def _is_none(env: object) -> bool:
    """Whether a caller names no env. What it sends may be of any type, an array too."""
    return env is None or (isinstance(env, str) and not env)


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _matches(env: str, pattern: str) -> bool:
    """Whether a name fits: part by part, and no part leads out of a directory."""
    if env == pattern:
        return True
    asked, known = _PARTS.split(env), _PARTS.split(pattern)
    return len(asked) == len(known) and all(
        one == other or (one not in ("", ".", "..") and fnmatch.fnmatchcase(one, other))
        for one, other in zip(asked, known, strict=True)
    )


class OpenRuntime(Runtime):
    """A runtime of whatever its caller names, who has the rights of this account anyway."""

    def serves(self, env: str) -> bool:
        """True."""
        return True


class Runtimes:
    """The runtimes of a host, by name.

    Args:
        runtimes: one at least, each of another name.

    Raises:
        SpecError: there is none, or two have one name.
    """

    def __init__(self, runtimes: Sequence[Runtime]) -> None:
        """Takes them over."""
        self._by_name: dict[str, Runtime] = {each.name: each for each in runtimes}
        if not runtimes or len(self._by_name) < len(runtimes):
            raise SpecError("A host needs runtimes, each with a name of its own.")

    def __iter__(self) -> Iterator[Runtime]:
        """Iterates over the runtimes."""
        return iter(self._by_name.values())

    @property
    def workers(self) -> int:
        """The most worker processes that a session can have."""
        return max(runtime.workers or usable_cpus() for runtime in self)

    def find(self, name: object, envs: Sequence[object]) -> Runtime:
        """The runtime that a caller means: by its name, else the one that serves all of the envs.

        Raises:
            HostRefused: there is none.
        """
        known = ", ".join(self._by_name)
        if name is not None:
            if not isinstance(name, str) or name not in self._by_name:
                raise HostRefused(
                    f"There is no runtime {name!r:.100} here; there are: {known}.", "runtime"
                )
            return self._by_name[name]
        for runtime in self:
            if all(_is_none(env) or (isinstance(env, str) and runtime.serves(env)) for env in envs):
                return runtime
        asked = next((env for env in envs if env is not None), None)
        served = sorted({each for runtime in self for each in runtime.envs})
        close = difflib.get_close_matches(str(asked), served, 1)
        hint = f" Did you mean {close[0]!r}?" if close else f" Served: {', '.join(served[:20])}."
        raise HostRefused(f"{asked!r:.100} is not served here.{hint}", "env")


_KEYS: dict[str, type | tuple[type, ...]] = {
    "envs": list,
    "launcher": str,
    "spec": str,
    "kwargs": dict,
    "allow_kwargs": bool,
    "imports": list,
    "setup": str,
    "slots": int,
    "workers": int,
    "step_timeout": (int, float),
    "reset_timeout": (int, float),
}


def load(path: str | os.PathLike[str]) -> Runtimes:
    """Reads the runtimes of a serve.toml.

    Raises:
        SpecError: the file is missing or malformed; the text names the place.
        LauncherError: there is no such launcher.
    """
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{os.fspath(path)}: {error}") from None
    table = document.get("runtimes")
    if not isinstance(table, dict) or not table or document.keys() != {"runtimes"}:
        raise SpecError(f"{os.fspath(path)}: expected tables [runtimes.NAME] and nothing else.")
    return Runtimes([_runtime(os.fspath(path), name, each) for name, each in table.items()])


def _runtime(path: str, name: str, table: Any) -> Runtime:
    where = f"{path}: runtimes.{name}"
    if not isinstance(table, dict):
        raise SpecError(f"{where}: expected a table.")
    for key in table:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, 1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(_KEYS)}."
            raise SpecError(f"{where}: unknown key {key!r}.{hint}")
        _check_value(f"{where}.{key}", table[key], _KEYS[key])
        if key in ("slots", "workers") and table[key] < 1:
            raise SpecError(f"{where}.{key}: must be at least 1.")
        if key in ("step_timeout", "reset_timeout") and not table[key] > 0:
            raise SpecError(f"{where}.{key}: must be more than 0.")
    if not table.get("envs"):
        raise SpecError(f'{where}.envs: name at least one env, or a pattern: envs = ["*"].')
    options = {key: value for key, value in table.items() if key not in ("launcher", "spec")}
    try:
        launcher = _launcher(table.get("launcher"), table.get("spec"))
    except LauncherError as error:
        raise LauncherError(f"{where}.launcher: {error}") from None
    options["envs"] = tuple(options["envs"])
    options["imports"] = tuple(options.get("imports", ()))
    return Runtime(name, launcher=launcher, **options)


def _check_value(where: str, value: Any, kinds: type | tuple[type, ...]) -> None:
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise SpecError(f"{where}: {value!r} is of the wrong type.")
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        raise SpecError(f"{where}: expected a list of strings.")


def _launcher(text: str | None, spec: str | None) -> Launcher | None:
    if spec is not None:
        if text not in (None, "micromamba", "uv"):
            raise LauncherError("a spec goes with the launchers micromamba and uv only.")
        text = f"{text or 'micromamba'}:{spec}"
    return None if text is None else resolve(text)
