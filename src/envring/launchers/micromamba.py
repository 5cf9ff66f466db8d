# SPDX-License-Identifier: MIT
"""Workers in a prefix made from a conda spec: built on first use, then taken from the cache."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from envring.launchers import activation, environment, sandbox
from envring.launchers.base import INTERPRETER_FLAGS, Launch, Launcher, Needs, absolute_path
from envring.prefixes import build
from envring.prefixes import spec as specs
from envring.prefixes.cache import Entry, Ready
from envring.prefixes.progress import Progress

SURROUNDINGS = build.Surroundings(
    clean=lambda: environment.clean(os.environ),
    activated=lambda prefix, cache: activation.activate(
        prefix, environment.clean(os.environ), cache
    ),
)


@dataclass(frozen=True)
class Micromamba(Launcher):
    """A prefix that holds what a spec asks for; micromamba is one of the programs that build it.

    The prefix is kept in the cache (`$ENVRING_CACHE`, else `~/.cache/envring`) under a hash of the
    spec's content, the setup file, the solver and the platform. It is built once, on first use;
    progress is shown on stderr. `envring env list` lists the built prefixes.

    Attributes:
        spec: a conda environment file (spec.yml, environment.yml) or an explicit lockfile.
        setup: Python file to run once in the finished prefix, or None.
        solver: "micromamba", "mamba", "conda", "rattler", or the path of one of the first three;
            None: the first of $MAMBA_EXE, these programs on PATH, and py-rattler.
        portal: whether spec and setup belong to a Portal-Env directory, which asks for the package
            portal-env; workers do not need it, so it is left out.
        sandbox: whether workers run without network, on a read-only file system.
    """

    spec: str
    setup: str | None = None
    solver: str | None = None
    portal: bool = False

    def __post_init__(self) -> None:
        """Makes the paths absolute.

        Raises:
            LauncherError: one is not a path.
        """
        object.__setattr__(self, "spec", absolute_path(self.spec, "Micromamba(spec)"))
        if self.setup is not None:
            setup = absolute_path(self.setup, "Micromamba(setup=)")
            object.__setattr__(self, "setup", setup)

    def request(self) -> build.Request:
        """Reads the spec.

        Raises:
            SpecError: it is missing or malformed.
            LauncherError: PyYAML is not installed.
        """
        spec = specs.load(self.spec, portal=self.portal)
        return build.Request(spec, Path(self.setup) if self.setup else None, self.solver)

    def obtain(self, progress: Progress | None = None) -> tuple[Entry, Ready]:
        """Returns the prefix, and builds it if necessary.

        Args:
            progress: where progress is shown; None: on stderr.

        Raises:
            SpecError: the spec or the setup file cannot be used.
            SolveError: the prefix cannot be built.
            LauncherError: there is no solver.
        """
        return build.obtain(self.request(), SURROUNDINGS, progress)

    def prepare(self, needs: Needs) -> Launch:
        """Builds the prefix if necessary, and activates it.

        Raises:
            SpecError: the spec or the setup file cannot be used.
            SolveError: the prefix cannot be built.
            InterpreterError: the prefix cannot be activated.
            LauncherError: the solver is missing, or bubblewrap, which the sandbox needs.
        """
        entry, ready = self.obtain()
        environ = SURROUNDINGS.activated(ready.prefix, str(entry.directory))
        environment.override(environ, needs.environ)
        launch = Launch(
            argv=(ready.executable, *INTERPRETER_FLAGS),
            environ=environ,
            description=f"prefix of {self.spec} (Python {ready.python})",
        )
        return sandbox.confine(launch, self.sandbox, ready.executable, needs)
