# SPDX-License-Identifier: MIT
"""A prefix for a spec: from the cache, or built there, once for all concurrent callers."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from envring.errors import SolveError
from envring.prefixes import cache, solvers
from envring.prefixes.cache import Entry, Ready
from envring.prefixes.once import Site, build_once
from envring.prefixes.progress import Progress
from envring.prefixes.solvers import Solver
from envring.prefixes.spec import Spec, digest, this_platform

_PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off")
# these would make pip install elsewhere
_ELSEWHERE = frozenset(
    ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV")
)


@dataclass(frozen=True)
class Surroundings:
    """Environment variables for the programs of a build; launchers provide them.

    Attributes:
        clean: returns the caller's variables without those of the caller's interpreter.
        activated: returns the variables of an activated prefix; its arguments are the prefix's
            path and a directory in which to store the results of activation scripts.
    """

    clean: Callable[[], dict[str, str]]
    activated: Callable[[str, str], dict[str, str]]


@dataclass(frozen=True)
class Request:
    """Which prefix is wanted.

    Attributes:
        spec: the packages.
        setup: file to run once in the finished prefix, with its Python, or None.
        solver: which program installs the packages; None: the first that is available.
        anew: whether packages of the cache are read and compared before they are used.
    """

    spec: Spec
    setup: Path | None = None
    solver: str | None = None
    anew: bool = False
    _content: str = field(init=False, default="", compare=False)

    def digest(self, solver: str) -> str:
        """Returns the hex digest of everything that determines what the prefix holds."""
        if not self._content:
            content = {
                "format": cache.FORMAT,
                "platform": this_platform(),
                "overrides": solvers.overrides(),
                "setup": digest(self.setup) if self.setup else None,
                **self.spec.content(),
            }
            object.__setattr__(self, "_content", json.dumps(content, sort_keys=True))
        text = f"{solver}\n{self._content}"
        configuration = solvers.configuration(self.spec, solver)
        if configuration:
            text += f"\n{json.dumps(configuration, sort_keys=True)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def entry(self, solver: str) -> Entry:
        """Returns its place in the cache."""
        return cache.entry(self.spec.name, self.digest(solver))


def find_ready(request: Request) -> tuple[Entry, Ready] | None:
    """Returns the prefix, if it has been built.

    If the request names no solver, a prefix by any solver will do: installing or removing a solver
    is not a reason to build again.
    """
    names = solvers.NAMES if request.solver is None else (solvers.name_of(request.solver),)
    for name in names:
        entry = request.entry(name)
        ready = entry.ready()
        if ready:
            return entry, ready
    return None


def obtain(
    request: Request, surroundings: Surroundings, progress: Progress | None = None
) -> tuple[Entry, Ready]:
    """Returns the prefix, and builds it if necessary. One caller builds, the others wait.

    Args:
        request: which prefix is wanted.
        surroundings: environment variables for the programs of a build.
        progress: where progress is shown; None: on stderr.

    Raises:
        SolveError: it cannot be built.
        SpecError: the setup file cannot be read.
        LauncherError: there is no solver.
    """
    found = find_ready(request)
    if found:
        return found
    solver = solvers.choose(request.solver)
    entry = request.entry(solver.name)
    spec = request.spec
    ready = build_once(
        entry,
        spec.name,
        str(spec.path),
        lambda site: _Build(request, solver, site, surroundings).run(),
        progress,
    )
    return entry, ready


class _Build:
    """One build; the lock is held."""

    def __init__(
        self, request: Request, solver: Solver, site: Site, surroundings: Surroundings
    ) -> None:
        self._spec = request.spec
        self._setup = request.setup
        self._solver = solver
        self._anew = request.anew
        self._site = site
        self._entry = site.entry
        self._surroundings = surroundings
        self._progress = site.progress
        self._python = str(site.entry.prefix / "bin" / "python")

    def run(self) -> Ready:
        """Builds the prefix and returns what is known of it; once more if packages were damaged."""
        from envring.prefixes import packages  # not needed by a start from the cache

        entry = self._entry
        self._progress.step(f"building with {self._solver.title}, log: {entry.log}")
        if self._anew:
            self._drop_damaged(lambda name: True)
        try:
            return self._build()
        except SolveError:
            linked = packages.linked(entry.prefix)
            if not self._drop_damaged(lambda name: name in linked):
                raise
        cache.delete_tree(entry.prefix)
        return self._build()

    def _drop_damaged(self, suspects: Callable[[str], bool]) -> bool:
        from envring.prefixes import packages

        dropped = packages.drop_damaged(self._solver.name, suspects)
        if dropped:
            text = f"damaged in the cache of packages, fetched again: {', '.join(dropped)}"
            self._progress.step(text)
            with open(self._entry.log, "a", encoding="utf-8") as log:
                log.write(f"\n{text}\n")
        return bool(dropped)

    def _build(self) -> Ready:
        entry = self._entry
        self._install()
        version = self._version()
        self._set_variables()
        self._install_pip()
        self._compile()
        self._run_setup()
        ready = Ready(
            prefix=str(entry.prefix),
            name=self._spec.name,
            spec=str(self._spec.path),
            setup=str(self._setup) if self._setup else None,
            solver=self._solver.name,
            python=version,
        )
        self._surroundings.activated(str(entry.prefix), str(entry.directory))
        return ready

    def _run(self, doing: str, advice: str, argv: list[str], environ: Mapping[str, str]) -> None:
        self._site.run(doing, advice, argv, self._spec.path.parent, environ)

    def _install(self) -> None:
        entry = self._entry
        from envring.prefixes import packages

        kept = packages.directories()["rattler"]
        kept.mkdir(parents=True, exist_ok=True)
        environ = {**self._surroundings.clean(), **solvers.settings_for(self._spec)}
        if self._solver.name == "micromamba":
            environ.setdefault("MAMBA_ROOT_PREFIX", str(cache.root() / "micromamba"))
        self._progress.step("installing conda packages")
        self._run(
            self._solver.title,
            "Fix the spec, or make its channels reachable.",
            self._solver.command(self._spec, entry.prefix, entry.directory, kept),
            environ,
        )
        history = entry.prefix / "conda-meta" / "history"
        if history.parent.is_dir():
            history.touch()  # conda's programs recognise a prefix by it
        if not os.access(self._python, os.X_OK):
            raise SolveError(
                f"The prefix of '{self._spec.path}' has no Python: "
                "add python to its dependencies, for example python=3.12.",
                str(entry.log),
            )

    def _version(self) -> str:
        """Returns the version of its Python from conda's record."""
        for path in (self._entry.prefix / "conda-meta").glob("python-*.json"):
            match = re.fullmatch(r"python-([^-]+)-[^-]+", path.stem)
            if match:
                return match[1]
        return "?"

    def _set_variables(self) -> None:
        if not self._spec.variables:
            return
        state = self._entry.prefix / "conda-meta" / "state"
        try:
            found = json.loads(state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        variables = {**found.get("env_vars", {}), **dict(self._spec.variables)}
        cache.write_whole(state, {**found, "version": 1, "env_vars": variables})

    def _inside(self) -> dict[str, str]:
        entry = self._entry
        environ = self._surroundings.activated(str(entry.prefix), str(entry.directory))
        environ["PYTHONUNBUFFERED"] = "1"
        return {name: value for name, value in environ.items() if name not in _ELSEWHERE}

    def _install_pip(self) -> None:
        if not self._spec.pip:
            return
        file = self._entry.directory / "requirements.txt"
        file.write_text("\n".join([*self._spec.pip, ""]), encoding="utf-8")
        self._progress.step("installing pip packages")
        argv = [self._python, "-s", *_PIP, "-r", str(file)]
        self._run("pip", "Fix the pip section of the spec.", argv, self._inside())

    def _compile(self) -> None:
        """Compiles bytecode: py-rattler does not, and a sandbox cannot write it."""
        if self._solver.name != "rattler":
            return
        libraries = [str(each) for each in self._entry.prefix.glob("lib/python*/site-packages")]
        self._progress.step("compiling")
        # some packages contain files for other Python versions: compile errors are ignored
        argv = ["/bin/sh", "-c", '"$@" || true', "sh"]
        argv += [self._python, "-s", "-m", "compileall", "-q", *libraries]
        self._run("compileall", "", argv, self._inside())

    def _run_setup(self) -> None:
        if self._setup is None:
            return
        self._progress.step(f"running {self._setup.name}")
        self._site.run(
            f"the setup file '{self._setup}'",
            "It runs once, in the finished prefix.",
            [self._python, "-s", str(self._setup)],
            self._spec.path.parent,
            self._inside(),
            terminal=True,
        )
