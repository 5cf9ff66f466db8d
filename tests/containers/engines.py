# SPDX-License-Identifier: MIT
"""Container engines that this machine has, and launchers for them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from containers import image
from envring.launchers.docker import Docker

# how the tests' engines are called, for a process that remakes a launcher
COMMAND = "ENVRING_TEST_ENGINE"
# Limits that any machine grants: engines ask for more than some virtual machines have.
_OPTIONS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")


def plain() -> Docker:
    """As users have it."""
    engine = tuple(os.environ[COMMAND].split())
    return Docker(image.NAME, engine=engine, options=_OPTIONS)


def boxed() -> Docker:
    """In a sandbox."""
    engine = tuple(os.environ[COMMAND].split())
    return Docker(image.NAME, engine=engine, options=_OPTIONS, sandbox=True)


def podman() -> str:
    """podman's command line, with what runs containers here: crun does not like each machine."""
    command = os.environ.get("ENVRING_PODMAN")
    if command:
        return command
    words = ["podman"]
    if shutil.which("runc"):
        words += ["--runtime", "runc"]
    if not Path("/run/systemd/system").exists():
        words += ["--cgroup-manager", "cgroupfs"]
    return " ".join(words)


@contextlib.contextmanager
def service(folder: Path) -> Iterator[str]:
    """podman's docker-compatible service, for docker's command line; yields its address."""
    path = folder / "podman.sock"
    command = [*podman().split(), "system", "service", "--time", "0", f"unix://{path}"]
    with open(folder / "service.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        while not path.exists():
            said = (folder / "service.log").read_text()
            assert process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.02)
        yield f"unix://{path}"
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def having(archive: Path, command: str) -> Iterator[None]:
    """An engine has the tests' image for a while."""
    run(command, "import", str(archive), image.NAME)
    try:
        yield
    finally:
        run(command, "rmi", "--force", image.NAME)


def over_podman() -> bool:
    """Whether docker's command line speaks to podman's service now."""
    return os.environ.get("DOCKER_HOST", "").endswith("/podman.sock")


def run(command: str, *words: str, seconds: float = 120.0) -> str:
    """What an engine's command prints."""
    done = subprocess.run(
        [*command.split(), *words], capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{command} {' '.join(words)}: {done.stderr}"
    return done.stdout


def containers(command: str) -> list[str]:
    """Names of our containers that there are, running or not."""
    told = run(command, "ps", "--all", "--format", "{{.Names}}").split()
    return [name for name in told if name.startswith("envring-")]
