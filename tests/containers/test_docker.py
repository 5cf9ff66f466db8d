# SPDX-License-Identifier: MIT
"""Workers in containers, with each engine that this machine has; run by make test-containers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from containers import engines, image
from envring import InterpreterError, RingVectorEnv
from envring.launchers.base import Needs
from envring.launchers.docker import Docker
from support.launcher_conformance import LauncherConformance, SandboxConformance, game
from support.processes import Caller, assert_gone, wait_until

if "ENVRING_CONTAINERS" not in os.environ:
    pytest.skip("NO CONTAINER IS TRIED: that is make test-containers", allow_module_level=True)

ENGINES = ("podman", "docker over podman", "docker")


def _answers(command):
    done = subprocess.run([*command.split(), "info"], capture_output=True, timeout=60, check=False)
    return done.returncode == 0


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    return image.make(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session", params=ENGINES)
def engine(request, archive, tmp_path_factory):
    """An engine's command line; it has the image."""
    program = request.param.split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"WORKERS IN {request.param.upper()} ARE NOT TRIED: there is no {program}")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "docker over podman":
            if shutil.which("podman") is None:
                pytest.skip("DOCKER'S COMMAND LINE OVER PODMAN IS NOT TRIED: there is no podman")
            with engines.service(tmp_path_factory.mktemp("service")) as address:
                patch.setenv("DOCKER_HOST", address)
                with engines.having(archive, "docker"):
                    yield "docker"
            return
        command = engines.podman() if program == "podman" else "docker"
        if not _answers(command):
            pytest.skip(f"WORKERS IN {program.upper()} ARE NOT TRIED: {command} does not answer")
        with engines.having(archive, command):
            yield command


@pytest.fixture(autouse=True)
def told(engine, monkeypatch):
    """Launchers know the engine; no container is left."""
    monkeypatch.setenv(engines.COMMAND, engine)
    yield
    wait_until(lambda: not engines.containers(engine), 30, "containers are gone")


class _Contained:
    patience = 40.0

    def told(self, code):
        # docker's --rm waits for the removal, and podman's service forgets the code at that
        forgets = engines.over_podman()
        return (code, 128 + code, *([0] if forgets else []))


class TestContainers(_Contained, LauncherConformance):
    @pytest.fixture
    def launcher(self, told):
        return engines.plain()

    def remade(self, request):
        return "containers.engines", "plain"


class TestSandboxedContainers(_Contained, SandboxConformance):
    @pytest.fixture
    def launcher(self, told):
        return engines.boxed()

    def remade(self, request):
        return "containers.engines", "boxed"


def test_an_image_that_there_is_not(engine):
    launcher = Docker("localhost/envring-image-of-nobody", engine=engine.split())
    with pytest.raises(InterpreterError, match="has no image localhost/envring-image-of-nobody"):
        launcher.prepare(Needs())


def test_an_interpreter_that_is_not_in_the_image(engine):
    launcher = Docker(image.NAME, engine=engine.split(), python="python9", options=engines._OPTIONS)
    with pytest.raises(Exception, match="python9") as caught:
        RingVectorEnv([game()], launcher=launcher)
    assert "image envring-test" in str(caught.value)


def test_variables_can_be_removed(engine, monkeypatch):
    options = (*engines._OPTIONS, "--env", "OF_THE_IMAGE=1")
    launcher = Docker(image.NAME, engine=engine.split(), options=options)
    envs = RingVectorEnv([game()], launcher=launcher, worker_env={"OF_THE_IMAGE": None})
    try:
        assert envs.call("variable", "OF_THE_IMAGE") == (None,)
    finally:
        envs.close()


STOPPED = """
    import sys
    from containers import engines
    from envring import RingVectorEnv
    from support.launcher_conformance import game
    envs = RingVectorEnv([game()], launcher=engines.plain())
    envs.reset()
    print("reset", flush=True)
    sys.stdin.readline()
"""


def worker_of(caller: int, engine: str) -> int:
    """The process in the container that this caller has started."""
    (name,) = (n for n in engines.containers(engine) if n.startswith(f"envring-{caller}-"))
    first = engines.run(engine, "inspect", "--format", "{{.State.Pid}}", name).strip()
    return int(Path(f"/proc/{first}/task/{first}/children").read_text().split()[0])


def test_killed_caller_of_a_stopped_worker(engine):
    with Caller(STOPPED) as caller:
        assert caller.line(40) == "reset"
        pid = worker_of(caller.process.pid, engine)
        os.kill(pid, signal.SIGSTOP)
        os.kill(caller.process.pid, signal.SIGKILL)
        assert_gone(pid, 10)
