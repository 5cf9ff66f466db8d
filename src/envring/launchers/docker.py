# SPDX-License-Identifier: MIT
"""Workers in containers, through any program that takes docker's command line."""

from __future__ import annotations

import functools
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from envring.errors import InterpreterError, LauncherError
from envring.launchers.base import INTERPRETER_FLAGS, Launch, Launcher, Needs, Sandbox
from envring.launchers.sandbox import check

_TIMEOUT = 60.0  # seconds the engine may take to answer
_INSIDE = "/envring"  # where files from outside are mounted
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True)
class Docker(Launcher):
    """A container image that holds a Python; each worker runs in a container of its own.

    The segment, the worker's files and the env's files are mounted by path, the files read-only.
    The caller's environment variables stay outside. Files are opened as the caller's user.

    Attributes:
        image: name of an image in the engine's store.
        engine: the engine's command line, such as ("docker",) or ("podman",).
        python: the interpreter's name or path in the image.
        network: the engine's name of a network ("none", "host"); None: the engine's default.
        options: further options of `docker run`, such as ("--gpus", "all").
        sandbox: no network, no capabilities, a read-only file system with an empty `/tmp`.
    """

    named_segment: ClassVar[bool] = True

    image: str
    engine: Sequence[str] = ("docker",)
    python: str = "python"
    network: str | None = None
    options: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Checks the arguments.

        Raises:
            LauncherError: one of them is not valid.
        """
        _text(self.image, "image", "the name of an image")
        _text(self.python, "python", "the interpreter's name in the image")
        if self.network is not None:
            _text(self.network, "network", "the name of a network, or None")
        object.__setattr__(self, "engine", _words(self.engine, "engine"))
        object.__setattr__(self, "options", _words(self.options, "options"))
        if not self.engine:
            raise LauncherError('Docker(engine=) must be a command line, such as ("podman",).')

    def prepare(self, needs: Needs) -> Launch:
        """Checks that engine and image exist, and composes the command line.

        Raises:
            LauncherError: the engine is missing, does not answer, or runs on another machine.
            InterpreterError: the engine has no such image, or only one for another machine.
        """
        check(self.sandbox)
        engine = tuple(self.engine)
        rootless = _engine(engine)
        self._look_for_image(engine)
        name = f"envring-{os.getpid()}-{secrets.token_hex(4)}"
        argv = [*engine, "run", "--rm", "--interactive", "--init", "--name", name]
        argv += ["--log-driver", "none"]  # the caller reads a worker's output, not the engine
        # A rootless engine maps only root inside to the caller outside.
        argv += ["--user", "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"]
        if os.path.exists("/sys/fs/selinux/enforce"):
            argv += ["--security-opt", "label=disable"]  # else SELinux denies the mounted files
        argv += self._confinement()
        places = _places(needs)
        for path, place in places.items():
            argv += ["--mount", _mount(path, place, path != needs.segment)]
        argv += _set(needs.environ)
        argv += [*self.options, self.image]
        argv += [*_unset(needs.environ), self.python, *INTERPRETER_FLAGS]
        return Launch(
            argv=tuple(argv),
            environ=dict(os.environ),  # the engine's own
            description=f"image {self.image} ({os.path.basename(engine[0])})",
            map_path=functools.partial(_inside, places),
            shares_fds=False,
            stop_argv=(*engine, "kill", name),
        )

    def _look_for_image(self, engine: tuple[str, ...]) -> None:
        answer = _ask(engine, "image", "inspect", "--format", "{{.Architecture}}", self.image)
        if answer.returncode:
            raise InterpreterError(
                f"{engine[0]} has no image {self.image}: {_complaint(answer)}\n"
                f"To download it: {' '.join(engine)} pull {self.image}"
            )
        theirs = answer.stdout.decode("utf-8", "replace").strip()
        machine = os.uname().machine
        ours = _ARCHITECTURES.get(machine, machine)
        if theirs and theirs != ours and not _emulated(theirs):
            raise InterpreterError(
                f"The image {self.image} is for {theirs}, but this machine is {ours}. To download "
                f"that: {' '.join(engine)} pull --platform linux/{ours} {self.image}"
            )

    def _confinement(self) -> list[str]:
        openings = self.sandbox if isinstance(self.sandbox, Sandbox) else Sandbox()
        network = self.network
        argv = []
        if self.sandbox:
            argv += ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
            argv += ["--security-opt", "no-new-privileges"]
            if not openings.network:
                network = "none"
        if network is not None:
            argv += ["--network", network]
        for readonly, paths in ((True, openings.read), (False, openings.write)):
            for path in paths:
                if not os.path.exists(path):
                    raise LauncherError(f"The sandbox opens {path}, which does not exist.")
                argv += ["--mount", _mount(path, path, readonly)]
        return argv


def _text(value: object, field: str, what: str) -> None:
    if not isinstance(value, str) or not value.strip() or value.startswith("-") or "\0" in value:
        raise LauncherError(f"Docker({field}=) must be {what}, not {value!r}.")


def _words(value: object, field: str) -> tuple[str, ...]:
    words = (value,) if isinstance(value, str) else value
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise LauncherError(f"Docker({field}=) must be a sequence of strings, not {value!r}.")
    return tuple(words)


def _engine(engine: tuple[str, ...]) -> bool:
    """Returns whether the engine runs without root.

    Raises:
        LauncherError: the engine is missing, does not answer, or runs on another machine.
    """
    host = os.environ.get("DOCKER_HOST", "")
    if "docker" in os.path.basename(engine[0]) and host.startswith(("tcp:", "ssh:", "http")):
        raise LauncherError(
            f"DOCKER_HOST is {host}, another machine, but memory is shared on one machine only. "
            "Use an engine on this machine."
        )
    program = shutil.which(engine[0])
    if program is None:
        other = "podman" if shutil.which("podman") else ""
        advice = f' {other} is installed: Docker(..., engine=("{other}",)).' if other else ""
        raise LauncherError(f"There is no container engine {engine[0]} on PATH.{advice}")
    return _is_rootless((program, *engine[1:]), host)


@functools.cache
def _is_rootless(engine: tuple[str, ...], host: str) -> bool:
    # cached: an engine takes a tenth of a second to answer
    answer = _ask(engine, "info", "--format", "{{json .}}")
    try:
        facts = json.loads(answer.stdout)
        errors = facts.get("ServerErrors")
    except (ValueError, AttributeError):
        facts, errors = {}, None
    if answer.returncode or errors or not facts:
        complaint = " ".join(map(str, errors)) if errors else _complaint(answer)
        raise LauncherError(
            f"The container engine {engine[0]} does not answer: {complaint}\n"
            f"Start it, or use another one. To try it: {' '.join(engine)} info"
        )
    return _reports_rootless(facts)


def _reports_rootless(facts: Mapping[str, Any]) -> bool:
    options = facts.get("SecurityOptions")
    if isinstance(options, list):  # docker, and podman's docker-compatible interface
        return any("rootless" in str(option) for option in options)
    try:
        return bool(facts["host"]["security"]["rootless"])
    except (KeyError, TypeError):
        return False


def _ask(engine: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            [*engine, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LauncherError(
            f"The container engine {engine[0]} did not answer within {_TIMEOUT:.0f} s: "
            f"{' '.join([*engine, *words])}"
        ) from error
    except OSError as error:
        raise LauncherError(
            f"The container engine {engine[0]} cannot be run: {error.strerror}."
        ) from error


def _complaint(answer: subprocess.CompletedProcess[bytes]) -> str:
    text = answer.stderr.decode("utf-8", "replace").strip()
    return text[-1000:] or f"exit code {answer.returncode}"


def _emulated(architecture: str) -> bool:
    machine = {docker: machine for machine, docker in _ARCHITECTURES.items()}.get(architecture)
    return os.path.exists(f"/proc/sys/fs/binfmt_misc/qemu-{machine or architecture}")


def _places(needs: Needs) -> dict[str, str]:
    """Returns where each file is mounted: below a directory that no image has."""
    files = list(dict.fromkeys(os.path.normpath(path) for path in needs.files))
    places = {
        path: f"{_INSIDE}/{number}/{os.path.basename(path)}" for number, path in enumerate(files)
    }
    if needs.segment is not None:
        places[needs.segment] = f"{_INSIDE}/segment"
    return places


def _inside(places: Mapping[str, str], path: str) -> str:
    """Returns a path's counterpart in the container; the same path if it is not mounted."""
    best = ""
    for root in places:
        if (path == root or path.startswith(root + os.sep)) and len(root) > len(best):
            best = root
    return places[best] + path[len(best) :] if best else path


def _mount(path: str, place: str, readonly: bool) -> str:
    fields = ["type=bind", f"source={path}", f"target={place}"]
    if readonly:
        fields.append("readonly")
    # the option's value is a CSV line
    quoted = ['"' + f.replace('"', '""') + '"' if set(f) & set(',"') else f for f in fields]
    return ",".join(quoted)


def _set(changes: Mapping[str, str | None]) -> list[str]:
    argv = [] if changes.get("HOME") else ["--env", "HOME=/tmp"]
    for name, value in changes.items():
        if value is not None:
            argv += ["--env", f"{name}={value}"]
    return argv


def _unset(changes: Mapping[str, str | None]) -> list[str]:
    """Returns a command that removes variables of the image; engines have no common option."""
    argv = []
    for name, value in changes.items():
        if value is None:
            argv += ["-u", name]
    return ["env", *argv] if argv else []
