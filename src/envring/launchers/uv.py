# SPDX-License-Identifier: MIT
"""Workers in an environment made by uv, from requirements or from a script that names its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import escape, glob
from pathlib import Path
from typing import Any

from envring.errors import LauncherError, SpecError
from envring.launchers import activation, environment, sandbox
from envring.launchers.base import INTERPRETER_FLAGS, Launch, Launcher, Needs, absolute_path
from envring.prefixes import cache, requirements
from envring.prefixes.cache import Entry, Ready
from envring.prefixes.once import Site, build_once
from envring.prefixes.progress import Progress
from envring.prefixes.spec import this_platform

_FORMAT = 1
_BLOCK = re.compile(r"(?m)^# /// script[ \t]*$\n(?P<content>(?:^#(?:| .*)$\n)+)^# ///[ \t]*$")
_FILES = (".txt", ".in", ".toml", ".py")
# Python 2.7 and 3.0 to 3.5: "2.7", "python2.7", "==2.7.*", "<3"
_OLD = r"(?:2|3\.[0-5])(?:\.(?:\d+|\*))*"
_TOO_OLD = re.compile(rf"(?:(?:c?python|pypy)[@-]?)?(?:===?|~=|<=?)?\s*{_OLD}|<\s*3(?:\.0)*")
# these would make uv install elsewhere, or use another interpreter
_ELSEWHERE = (
    *("UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES"),
    *("UV_TARGET", "UV_PREFIX", "UV_NO_SYNC", "UV_WORKING_DIRECTORY", "UV_VENV_CLEAR"),
    *("UV_VENV_SEED", "UV_NO_PROJECT", "UV_FROZEN", "UV_LOCKED"),
)


@dataclass(frozen=True)
class Uv(Launcher):
    """A venv that uv fills with requirements; built on first use, then taken from the cache.

    The cache (`$ENVRING_CACHE`, else `~/.cache/envring`) keeps it under a hash of the request: a
    requirements file's lines and the local files they name, or a script's metadata block and its
    lockfile. Packages that are not pinned stay as they were first installed.

    Interpreters are those of this machine, pyenv's included. uv downloads others only if its own
    configuration says so (`UV_PYTHON_DOWNLOADS`, or `python-downloads` in uv.toml).

    Attributes:
        requirements: a requirements file, a pyproject.toml, a script with a PEP 723 block, or a
            sequence of requirements such as ["gymnasium==1.0.0", "numpy<2"].
        python: the interpreter, in uv's notation: "3.10", ">=3.9,<3.12", a path; None: what the
            script asks for, else uv's choice.
        sandbox: whether workers run without network, on a read-only file system.
    """

    requirements: str | Sequence[str]
    python: str | None = None

    def __post_init__(self) -> None:
        """Makes a path absolute.

        Raises:
            LauncherError: an argument is not valid, or uv does not support it.
        """
        object.__setattr__(self, "requirements", _requirements(self.requirements))
        if self.python is not None:
            object.__setattr__(self, "python", _python(self.python))

    def obtain(self, progress: Progress | None = None) -> tuple[Entry, Ready]:
        """Returns the environment, and builds it if necessary.

        Args:
            progress: where progress is shown; None: on stderr.

        Raises:
            SpecError: the file cannot be read or is malformed.
            SolveError: the environment cannot be built.
            LauncherError: uv is missing.
        """
        plan = _Plan(self.requirements, self.python)
        entry = cache.entry(plan.name, plan.digest)
        ready = entry.ready()
        if ready is None:
            program = find_uv()
            ready = build_once(
                entry, plan.name, plan.source, lambda site: plan.build(program, site), progress
            )
        return entry, ready

    def prepare(self, needs: Needs) -> Launch:
        """Builds the environment if necessary, and activates it.

        Raises:
            SpecError: the file cannot be read or is malformed.
            SolveError: the environment cannot be built.
            LauncherError: uv is missing, or bubblewrap, which the sandbox needs.
        """
        _, ready = self.obtain()
        environ = activation.activate(ready.prefix, environment.clean(os.environ))
        environment.override(environ, needs.environ)
        launch = Launch(
            argv=(ready.executable, *INTERPRETER_FLAGS),
            environ=environ,
            description=f"uv's environment of {ready.spec} (Python {ready.python})",
        )
        return sandbox.confine(launch, self.sandbox, ready.executable, needs)


def find_uv() -> str:
    """Returns the path of uv: the program on PATH, or that of the installed package uv.

    Raises:
        LauncherError: there is neither.
    """
    found = shutil.which("uv")
    if found is None:
        try:
            from uv import find_uv_bin

            found = str(find_uv_bin())
        except (ImportError, FileNotFoundError):
            raise LauncherError(
                "The launcher Uv needs the program uv, which is not on PATH. "
                "Install it: pip install 'envring[uv]'"
            ) from None
    return os.path.abspath(found)


class _Plan:
    """What to install, read and hashed.

    Attributes:
        name: short name to show.
        source: path or text of the request.
        digest: hex digest of everything that determines the environment's content.
    """

    def __init__(self, wanted: str | Sequence[str], python: str | None) -> None:
        self._python = python
        self._script = self._file = None
        self._lines: Sequence[str] = ()
        if not isinstance(wanted, str):
            self.name, self.source = "uv", ", ".join(wanted)
            self._directory = Path.cwd()
            content: dict[str, Any] = self._take_lines(wanted)
        else:
            path = Path(wanted)
            text = _read(path)
            self.name, self.source = path.stem, wanted
            self._directory = path.parent
            if path.suffix == ".py":
                self._script = wanted
                content = self._take_script(path, text)
            elif path.suffix == ".toml":
                self._file = wanted
                content = {"file": text}
            else:
                content = self._take_lines(text.splitlines())
        content |= {"format": _FORMAT, "python": python, "platform": this_platform()}
        self.digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _take_lines(self, lines: Sequence[str]) -> dict[str, Any]:
        try:
            resolved = requirements.resolve(lines, self._directory)
        except (requirements.RequirementsError, OSError) as error:
            raise SpecError(f"The requirements of {self.source} cannot be used: {error}") from error
        self._lines = resolved.lines
        watched = {str(path): hashlib.sha256(_bytes(path)).hexdigest() for path in resolved.watched}
        return {"lines": resolved.lines, "files": watched}

    def _take_script(self, path: Path, text: str) -> dict[str, Any]:
        metadata = script_metadata(path, text)
        wanted = metadata.get("requires-python")
        if self._python is None and isinstance(wanted, str):
            _refuse_old(wanted, f"requires-python of {path}")
        lock = path.with_name(f"{path.name}.lock")
        self._locked = lock.exists()
        # the rest of the script does not determine the environment
        return {
            "metadata": json.dumps(metadata, sort_keys=True, default=str),
            "lock": lock.read_text(encoding="utf-8") if self._locked else None,
        }

    def build(self, program: str, site: Site) -> Ready:
        """Builds the environment; the lock is held."""
        prefix = str(site.entry.prefix)
        environ = _environ()
        python = ["--python", self._python] if self._python else []
        site.progress.step(f"building with uv, log: {site.entry.log}")
        if self._script:
            environ["VIRTUAL_ENV"] = prefix
            command = [program, "sync", "--active", "--script", self._script, *python]
            command += ["--locked"] if self._locked else []
            advice = "Fix the script's metadata block, or let uv lock it again."
            site.run("uv sync", advice, command, self._directory, environ)
        else:
            command = [program, "venv", "--no-project", *python, prefix]
            advice = 'Name an installed interpreter, such as Uv(..., python="3.10").'
            site.run("uv venv", advice, command, self._directory, environ)
            self._install(program, site, environ)
        return Ready(
            prefix=prefix,
            name=self.name,
            spec=self.source,
            setup=None,
            solver="uv",
            python=_version(Path(prefix)),
        )

    def _install(self, program: str, site: Site, environ: dict[str, str]) -> None:
        file = self._file
        if file is None:
            file = str(site.entry.directory / "requirements.txt")
            Path(file).write_text("\n".join([*self._lines, ""]), encoding="utf-8")
        command = [program, "pip", "install", "--python", str(site.entry.prefix / "bin/python")]
        site.progress.step("installing packages")
        site.run(
            "uv pip install",
            "Fix the requirements.",
            [*command, "-r", file],
            self._directory,
            environ,
        )


def _requirements(given: object) -> str | tuple[str, ...]:
    if isinstance(given, (str, os.PathLike)):
        path = absolute_path(given, "Uv(requirements)")
        if not path.endswith(_FILES):
            raise LauncherError(
                f"Uv takes a file that ends in {', '.join(_FILES)}, not {os.fspath(given)!r}. "
                f"Pass requirements as a list: Uv([{os.fspath(given)!r}])."
            )
        return path
    if not isinstance(given, Sequence) or isinstance(given, bytes) or not given:
        raise LauncherError(
            f"Uv(requirements) must be a file or a list of requirements, not {given!r}."
        )
    for line in given:
        if not isinstance(line, str) or not line.strip() or "\n" in line or "\0" in line:
            raise LauncherError(f"Uv(requirements): {line!r} is not a requirement.")
    return tuple(given)


def _python(given: object) -> str:
    if not isinstance(given, str) or not given.strip() or given.startswith("-"):
        raise LauncherError(
            f'Uv(python=) must be a version such as "3.10" or a path, not {given!r}.'
        )
    if os.sep in given or given.startswith("~"):
        return absolute_path(given, "Uv(python=)")
    _refuse_old(given, f"Uv(python={given!r})")
    return given.strip()


def _refuse_old(wanted: str, what: str) -> None:
    if _TOO_OLD.fullmatch(wanted.strip()):
        raise LauncherError(
            f"{what}: uv makes environments of Python 3.6 and newer. For an older Python, make a "
            "prefix with virtualenv (pip install 'virtualenv<20.22'; virtualenv -p python2.7 DIR) "
            'and use Prefix("DIR").'
        )


def script_metadata(path: Path, text: str) -> dict[str, Any]:
    """Returns the metadata in a script's PEP 723 block.

    Raises:
        SpecError: the script has no such block, several, or one that cannot be read.
    """
    blocks = list(_BLOCK.finditer(text))
    if len(blocks) != 1:
        raise SpecError(
            f"The script {path} has {len(blocks) or 'no'} metadata blocks; uv needs one, such as\n"
            '  # /// script\n  # requires-python = ">=3.9"\n  # dependencies = ["gymnasium"]\n'
            "  # ///"
        )
    lines = blocks[0]["content"].splitlines()
    try:
        return tomllib.loads("\n".join(line.removeprefix("#").removeprefix(" ") for line in lines))
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"The metadata of script {path} cannot be read: {error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"There is no file {path}. Check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read: {error}") from error


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _environ() -> dict[str, str]:
    """Returns the environment variables for uv, with pyenv's interpreters on PATH."""
    environ = environment.clean(os.environ)
    for name in _ELSEWHERE:
        environ.pop(name, None)
    own = os.path.dirname(os.path.realpath(sys.executable))
    environ["PATH"] = os.pathsep.join([environ["PATH"], own, *_of_pyenv()])
    environ.setdefault("UV_COMPILE_BYTECODE", "1")  # once here, not in each worker
    if "UV_PYTHON_DOWNLOADS" not in environ and not any(_configured("python-downloads")):
        environ["UV_PYTHON_DOWNLOADS"] = "never"
    return environ


def _of_pyenv() -> list[str]:
    """Returns directories of pyenv's interpreters, newest first, without those too old for uv."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    found = []
    for path in glob(os.path.join(escape(root), "versions", "*", "bin")):
        version = os.path.basename(os.path.dirname(path))
        if not _TOO_OLD.fullmatch(version):
            numbers = [int(number) for number in re.findall(r"\d+", version)]
            found.append((version[0].isdigit(), numbers, path))  # CPython before the others
    return [path for _, _, path in sorted(found, reverse=True)]


def _configured(option: str) -> Iterator[bool]:
    """Yields for each of uv's configuration files whether it sets an option."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    shared = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    files = [os.path.join(folder, "uv/uv.toml") for folder in (home, *shared, "/etc")]
    for file in (os.environ.get("UV_CONFIG_FILE", ""), *files):
        try:
            with open(file, "rb") as stream:
                yield option in tomllib.load(stream)
        except (OSError, ValueError):
            continue


def _version(prefix: Path) -> str:
    """Returns the version from the line that uv writes: "version_info = 3.11.2"."""
    match = re.search(r"(?m)^version_info *= *(\S+)", (prefix / "pyvenv.cfg").read_text())
    return match[1] if match else "?"
