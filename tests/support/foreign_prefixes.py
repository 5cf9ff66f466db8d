# SPDX-License-Identifier: MIT
"""Interpreters that are installed here, and virtual environments of theirs with old packages.

Each environment is built once and kept in ``$ENVRING_TEST_CACHE``, else in
``~/.cache/envring-tests``. ``python -m tests.support.foreign_prefixes [NAME...]`` builds and prints
them.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

BUILD_SECONDS = 300
_TAIL_LINES = 30
_PROBE = """
import platform, sys
print("%s %s" % (platform.python_implementation().lower(), platform.python_version()))
"""


@dataclass(frozen=True)
class Recipe:
    """What a virtual environment is made of.

    Attributes:
        version: ``"3.9"``, or ``"pypy"``.
        packages: All that it holds, to the release: dependencies are not looked for. Wheels only.
        legacy: What has to be built, or has metadata that only an old pip can read.
        tools: What builds it.
    """

    version: str
    packages: tuple[str, ...]
    legacy: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


# nothing may change by itself: newer releases are taken by hand
NOTHING_ELSE = ("--no-deps", "--only-binary", ":all:")
# the last that can make an environment for 2.7, and what it needs
VIRTUALENV = ("virtualenv==20.21.1", "distlib==0.4.4", "filelock==3.32.7", "platformdirs==3.11.0")
OLD_TOOLS = ("pip==24.0", "setuptools==65.7.0", "wheel==0.38.4")

NUMPY = {
    "2.7": "numpy==1.16.6",
    "3.6": "numpy==1.19.5",
    "3.7": "numpy==1.21.6",
    "3.8": "numpy==1.24.4",
    "3.9": "numpy==2.0.2",
    "3.10": "numpy==1.26.4",
    "3.11": "numpy==2.2.6",
    "3.12": "numpy==1.26.4",
    "3.13": "numpy==2.5.5",
    "3.14": "numpy==2.5.5",
    "pypy": "numpy==1.26.4",
}
VERSIONS = tuple(NUMPY)
# the oldest of both kinds, ours, the newest and the other implementation: what does not depend on
# the interpreter varies in these alone
ENDS = {"2.7", "3.6", "3.11", "3.13", "3.14", "pypy"}

MATRIX = {
    # time limits that do not say that they ended an episode
    "gym-0.10": Recipe(
        "2.7",
        (
            *("numpy==1.16.6", "scipy==1.2.3", "six==1.17.0", "pyglet==1.3.2", "requests==2.27.1"),
            *("certifi==2021.10.8", "chardet==4.0.0", "idna==2.10", "urllib3==1.26.20"),
        ),
        legacy=("future==1.0.0", "gym==0.10.11"),
    ),
    "gym-0.16": Recipe(
        "2.7",
        (
            *("numpy==1.16.6", "scipy==1.2.3", "six==1.17.0", "pyglet==1.5.0"),
            *("cloudpickle==1.2.2", "enum34==1.1.10"),
        ),
        legacy=("future==1.0.0", "gym==0.16.0"),
    ),
    "gym-0.17": Recipe(
        "3.7",
        (
            *("numpy==1.21.6", "scipy==1.7.3", "cloudpickle==1.6.0", "pyglet==1.5.0"),
            "future==1.0.0",
        ),
        legacy=("gym==0.17.3",),
        tools=OLD_TOOLS,
    ),
    "gym-0.18": Recipe(
        "3.6",
        ("numpy==1.19.5", "scipy==1.5.4", "cloudpickle==1.6.0", "pyglet==1.5.15", "Pillow==8.2.0"),
        legacy=("gym==0.18.3",),
        tools=("pip==21.3.1", "setuptools==59.6.0", "wheel==0.37.1"),
    ),
    "gym-0.21": Recipe(
        "3.8", ("numpy==1.19.5", "cloudpickle==3.1.2"), legacy=("gym==0.21.0",), tools=OLD_TOOLS
    ),
    # reset(return_info=True)
    "gym-0.25": Recipe(
        "3.8",
        (
            *("numpy==1.23.5", "cloudpickle==3.1.2", "gym-notices==0.1.0"),
            *("importlib-metadata==8.5.0", "zipp==3.20.2"),
        ),
        legacy=("gym==0.25.2",),
        tools=OLD_TOOLS,
    ),
    "gym-0.26": Recipe(
        "3.10",
        ("numpy==1.26.4", "cloudpickle==3.1.3", "gym-notices==0.1.0"),
        legacy=("gym==0.26.2",),
        tools=OLD_TOOLS,
    ),
    "gymnasium-0.29": Recipe(
        "3.9",
        (
            *("gymnasium==0.29.1", "numpy==1.26.4", "cloudpickle==3.1.3"),
            *("farama-notifications==0.0.6", "typing-extensions==4.16.0"),
            *("importlib-metadata==8.7.1", "zipp==3.23.1"),
        ),
    ),
    "gymnasium-1.0": Recipe(
        "3.12",
        (
            *("gymnasium==1.0.0", "numpy==1.26.4", "cloudpickle==3.1.3"),
            *("farama-notifications==0.0.6", "typing-extensions==4.16.0"),
        ),
    ),
    "gymnasium-1.x": Recipe(
        "3.13",
        (
            *("gymnasium==1.4.0", "numpy==2.5.5", "cloudpickle==3.1.3", "ale-py==0.12.1"),
            *("farama-notifications==0.0.6", "typing-extensions==4.16.0"),
            *("mujoco==4.0.0", "mujoco-core==4.0.0", "mujoco-studio==4.0.0", "glfw==2.11.0"),
            *("imageio==2.38.1", "packaging==26.4", "pillow==13.0.0", "pyopengl==3.1.10"),
            "websockets==17.4",
        ),
    ),
    "retro": Recipe(
        "3.8",
        ("numpy==1.24.4", "cloudpickle==3.1.2", "pyglet==1.5.31"),
        legacy=("gym==0.21.0", "gym-retro==0.8.0"),
        tools=OLD_TOOLS,
    ),
}
RECIPES = {version: Recipe(version, (numpy,)) for version, numpy in NUMPY.items()} | MATRIX


class BuildFailed(Exception):
    """A virtual environment could not be built."""


def cache() -> Path:
    """Folder of the virtual environments."""
    named = os.environ.get("ENVRING_TEST_CACHE")
    return Path(named).absolute() if named else Path.home() / ".cache/envring-tests"


@functools.cache
def interpreter(version: str) -> str | None:
    """Path of an installed Python `version`, or None. Not pyenv's shims: they may refuse to run."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    pattern, program = (
        ("pypy3*/bin/pypy3", "pypy3")
        if version == "pypy"
        else (f"{version}.*/bin/python{version}", f"python{version}")
    )
    candidates = sorted(root.glob(f"versions/{pattern}"), key=_by_number, reverse=True)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    search = os.pathsep.join(folder for folder in folders if Path(folder) != root / "shims")
    on_path = shutil.which(program, path=search)
    found = [str(path) for path in candidates] + ([on_path] if on_path else [])
    return next((path for path in found if _identity(path)), None)


def _by_number(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


@functools.cache
def _identity(python: str) -> str:
    """Implementation and full version of an interpreter, "" if it does not run."""
    try:
        done = subprocess.run(
            [python, "-E", "-s", "-c", _PROBE], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def full_version(version: str) -> str | None:
    """ "3.9.18" for "3.9", "pypy 3.9.16" for "pypy", None where there is none."""
    python = interpreter(version)
    return _identity(python).removeprefix("cpython ") if python else None


def place(name: str) -> Path:
    """Where the virtual environment of this recipe is, or will be."""
    recipe = RECIPES[name]
    python = interpreter(recipe.version)
    assert python is not None, f"there is no Python {recipe.version}"
    real = os.path.realpath(python)
    content = repr((1, astuple(recipe), real, _identity(python)))
    return cache() / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def is_ready(name: str) -> bool:
    """Whether it has been built to its end."""
    return _beside(place(name), "ready").exists()


def build(name: str) -> Path:
    """Build it, unless that was done before or is being done by another process.

    Raises:
        BuildFailed: With the last lines of the log.
    """
    folder = place(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(_beside(folder, "lock"), "w") as lock:
        # handed down, so that what survives a killed build is waited for
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_ready(name):
            shutil.rmtree(folder, ignore_errors=True)
            _install(RECIPES[name], folder, lock.fileno())
            _beside(folder, "ready").touch()
    return folder


def build_all(names: list[str]) -> dict[str, BuildFailed]:
    """Build several, as many at once as there are CPUs; return what failed."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        futures = {name: threads.submit(build, name) for name in names}
    errors = {name: future.exception() for name, future in futures.items()}
    for error in errors.values():
        if error is not None and not isinstance(error, BuildFailed):
            raise error
    return {name: error for name, error in errors.items() if isinstance(error, BuildFailed)}


def _install(recipe: Recipe, folder: Path, lock: int) -> None:
    python = str(interpreter(recipe.version))
    target = str(folder / "bin/python")
    uv = os.path.join(os.path.dirname(sys.executable), "uv")
    packages = (*recipe.packages, *recipe.tools)
    steps: list[list[str]]
    if recipe.version == "2.7":
        tool = [uv, "tool", "run", "--python", sys.executable, "--from", VIRTUALENV[0]]
        tool += [word for package in VIRTUALENV[1:] for word in ("--with", package)]
        steps = [
            [*tool, "virtualenv", "--no-periodic-update", "--python", python, str(folder)],
            [target, "-m", "pip", "install", *NOTHING_ELSE, *packages],
        ]
    else:
        steps = [
            [uv, "venv", "--python", python, str(folder)],
            [uv, "pip", "install", "--python", target, *NOTHING_ELSE, *packages],
        ]
    if recipe.legacy:
        old = [target, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
        steps.append([*old, *recipe.legacy])
    path = _beside(folder, "log")
    with open(path, "w") as log:
        for step in steps:
            _run(step, path, log.fileno(), lock)


def _run(argv: list[str], path: Path, log: int, lock: int) -> None:
    os.write(log, f"$ {' '.join(argv)}\n".encode())
    foreign = ("PYTHON", "VIRTUAL_ENV", "PYENV", "CONDA")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    environ["UV_PYTHON_DOWNLOADS"] = "never"
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ,
            cwd=path.parent,  # this project's requirements are not theirs
            pass_fds=[lock],
            timeout=BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        end = f"is not done after {BUILD_SECONDS} s"
    except OSError as error:
        end = f"cannot be run: {error} (is the extra 'test' installed?)"
    else:
        if done.returncode == 0:
            return
        end = f"ended with exit code {done.returncode}"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
    raise BuildFailed("\n".join([f"{' '.join(argv)}: {end}; the log {path} ends:", *lines]))


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}.{what}")


def main(names: list[str]) -> int:
    """Build what is named, or all; print where it is."""
    wanted = names or [name for name, recipe in RECIPES.items() if interpreter(recipe.version)]
    failed = build_all(wanted)
    for name in wanted:
        print(f"{name}: {failed.get(name) or place(name)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
