# SPDX-License-Identifier: MIT
"""The environment variables of an activated prefix, without a shell at each start.

A venv sets two variables. A conda prefix may set any, through files of its packages: variables as
JSON, and shell scripts. bash runs the scripts once; their changes are stored under a hash of the
scripts and of every variable that they may have read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from envring.errors import InterpreterError
from envring.launchers import environment
from envring.prefixes import cache

_TIMEOUT = 120.0  # seconds that all scripts of a prefix may take
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNSET = "***unset***"  # conda's state file: the user removed a package's variable
_SHELL_VARIABLES = frozenset(("_", "SHLVL", "PWD", "OLDPWD"))
_FORMAT = 1

# Each script's name is written before it runs, so that one that ends the shell can be named.
_RUN = """
_er_report=$1; _er_env=$2; shift 2
for _er_script do printf '%s\\0' "$_er_script" >&"$_er_report"; . "$_er_script"; done
printf '\\0' >&"$_er_report"
exec "$_er_env" -0 >&"$_er_report"
"""


def is_conda(prefix: str) -> bool:
    """Returns whether conda, mamba, micromamba, pixi or rattler made this prefix."""
    return os.path.isdir(os.path.join(prefix, "conda-meta"))


def is_venv(prefix: str) -> bool:
    """Returns whether venv, virtualenv or uv made this prefix."""
    return os.path.isfile(os.path.join(prefix, "pyvenv.cfg"))


def activate(prefix: str, environ: Mapping[str, str], store: str | None = None) -> dict[str, str]:
    """Returns the environment variables of an activated prefix.

    Args:
        prefix: absolute path of a venv, conda prefix, or any directory that has `bin`.
        environ: what to start from, as `environment.clean` returns it.
        store: directory in which results of scripts are stored; None: the cache.

    Raises:
        InterpreterError: a script or a file of variables cannot be used.
    """
    result = dict(environ)
    programs = os.path.join(prefix, "bin")
    if is_conda(prefix) and not is_venv(prefix):
        environment.put_first(result, programs)
        named = os.path.basename(os.path.dirname(prefix)) == "envs"
        result["CONDA_PREFIX"] = prefix
        result["CONDA_DEFAULT_ENV"] = os.path.basename(prefix) if named else prefix
        result["CONDA_SHLVL"] = "1"
        result.update(_variables(prefix))
        return _with_scripts(prefix, result, store)
    if is_venv(prefix):
        environment.put_first(result, programs)
        result["VIRTUAL_ENV"] = prefix
    elif programs not in result["PATH"].split(os.pathsep):
        environment.put_first(result, programs)  # /usr/bin keeps its place in the user's PATH
    return result


def _variables(prefix: str) -> dict[str, str]:
    """Returns the variables that packages set, overridden by those that the prefix's owner set."""
    merged: dict[str, Any] = {}
    for file in sorted(Path(prefix, "etc/conda/env_vars.d").glob("*.json")):
        merged.update(_json_object(file))
    state = Path(prefix, "conda-meta/state")
    if state.is_file():
        own = _json_object(state).get("env_vars", {})
        if not isinstance(own, dict):
            raise InterpreterError(f'In {state}, "env_vars" is not a JSON object. Fix that file.')
        merged.update(own)
    for name, value in merged.items():
        if not isinstance(value, (str, int, float)) or "=" in name or "\0" in f"{name}{value}":
            raise InterpreterError(
                f"Prefix {prefix} sets the variable {name!r} to {value!r}, which is not text. "
                "Fix it in etc/conda/env_vars.d or conda-meta/state of the prefix."
            )
    return {name: str(value) for name, value in merged.items() if value != _UNSET}


def _json_object(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InterpreterError(
            f"{file}, which sets variables of its prefix, cannot be read: {error}. Fix that file."
        ) from error
    if not isinstance(data, dict):
        raise InterpreterError(f"{file} does not hold a JSON object. Fix that file.")
    return data


def _with_scripts(prefix: str, environ: dict[str, str], store: str | None) -> dict[str, str]:
    folder = Path(prefix, "etc/conda/activate.d")
    scripts = sorted(str(file) for file in folder.glob("*.sh"))
    if not scripts:
        return environ
    key = _key(prefix, scripts, environ)
    file = Path(store or cache.root(), "activation", f"{key}.json")
    changes = _stored(file, environ)
    if changes is None:
        changes = _run(prefix, scripts, environ)
        _store(file, changes, environ)
    environment.override(environ, changes)
    return environ


def _key(prefix: str, scripts: list[str], environ: Mapping[str, str]) -> str:
    """Returns a hash of the scripts and of each variable whose name occurs in one of them."""
    digest = hashlib.sha256()

    def add(text: bytes) -> None:
        digest.update(b"%d:" % len(text) + text)

    add(b"%d" % _FORMAT)
    add(os.fsencode(prefix))
    words: set[str] = set()
    for script in scripts:
        try:
            content = Path(script).read_bytes()
        except OSError as error:
            raise InterpreterError(
                f"The activation script {script} cannot be read: {error.strerror}."
            ) from error
        add(os.fsencode(script))
        add(content)
        words.update(_WORD.findall(content.decode("latin-1")))
    for name in sorted(words & environ.keys()):
        add(os.fsencode(f"{name}={environ[name]}"))
    return digest.hexdigest()[:32]


def _run(prefix: str, scripts: list[str], environ: dict[str, str]) -> dict[str, str | None]:
    """Runs the scripts in one shell, as conda does, and returns the variables they changed."""
    shell = shutil.which("bash") or "/bin/sh"
    printer = shutil.which("env") or "/usr/bin/env"
    with tempfile.TemporaryFile() as report, tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [shell, "-c", _RUN, shell, str(report.fileno()), printer, *scripts],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[report.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            raise InterpreterError(
                f"The activation scripts of prefix {prefix} need a shell, but {shell} cannot be "
                f"run: {error.strerror}."
            ) from error
        with process:
            try:
                process.wait(_TIMEOUT)
            except BaseException as error:  # Ctrl-C, too: leave no script running
                os.killpg(process.pid, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                late = True
            else:
                late = False
        report.seek(0)
        ran, end, printed = report.read().partition(b"\0\0")
        if late or not end:
            output.seek(0)
            last = os.fsdecode(ran.rstrip(b"\0").rpartition(b"\0")[2])
            how = f"took more than {_TIMEOUT:.0f} s" if late else "ended the shell"
            tail = output.read()[-2000:].decode("utf-8", "replace").strip()
            raise InterpreterError(
                f"Prefix {prefix} cannot be activated: its script {last} {how}."
                + (f"\nWhat the scripts printed:\n{tail}" if tail else "")
            )
    return dict(_changes(environ, printed))


def _changes(before: Mapping[str, str], printed: bytes) -> Iterator[tuple[str, str | None]]:
    after = dict(
        entry.partition("=")[::2] for entry in os.fsdecode(printed).split("\0") if "=" in entry
    )
    for name in sorted(before.keys() | after.keys()):
        if name in _SHELL_VARIABLES or name.startswith("BASH_FUNC_"):
            continue
        if before.get(name) != after.get(name):
            yield name, after.get(name)


def _stored(file: Path, environ: Mapping[str, str]) -> dict[str, str | None] | None:
    """Returns stored changes, unless a variable that they change had another value then."""
    try:
        record = json.loads(file.read_text(encoding="ascii"))
        changes = {str(name): value for name, value in record["changes"].items()}
        if record["before"] != _before(changes, environ):
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # nothing stored, or unusable
    if not all(value is None or isinstance(value, str) for value in changes.values()):
        return None
    return changes


def _store(file: Path, changes: Mapping[str, str | None], environ: Mapping[str, str]) -> None:
    record = json.dumps({"changes": changes, "before": _before(changes, environ)})
    with suppress(OSError):  # if it cannot be stored, scripts run at each start
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp's mode 0600: the changes hold values of the user's variables
        fd, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}")
        try:
            with os.fdopen(fd, "w", encoding="ascii") as stream:
                stream.write(record)
            os.replace(temporary, file)
        except OSError:
            os.unlink(temporary)
            raise


def _before(changes: Mapping[str, str | None], environ: Mapping[str, str]) -> str:
    known = [(name, environ.get(name)) for name in sorted(changes)]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()
