# SPDX-License-Identifier: MIT
"""Command lines for container engines; what a container does is tested by make test-containers."""

import json
import os
import shlex

import pytest

from envring.errors import InterpreterError, LauncherError
from envring.launchers import docker
from envring.launchers.base import INTERPRETER_FLAGS, Needs, Sandbox
from envring.launchers.docker import Docker

PODMAN = {"host": {"security": {"rootless": False}}}
ROOTLESS_PODMAN = {"host": {"security": {"rootless": True}}}
DOCKER = {"SecurityOptions": ["name=seccomp,profile=builtin"]}
ROOTLESS_DOCKER = {"SecurityOptions": ["name=seccomp", "name=rootless"]}

ENGINE = """#!/bin/sh
echo "$@" >> {calls}
case "$*" in
*info*) {info} ;;
*image*) {image} ;;
esac
"""


@pytest.fixture(autouse=True)
def no_host(monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Puts a program on PATH that answers as an engine does."""
    folder = tmp_path / "engines"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    calls = tmp_path / "calls"
    calls.touch()

    def make(facts=DOCKER, info=None, image=None, name="docker"):
        ours = docker._ARCHITECTURES.get(os.uname().machine, os.uname().machine)
        text = ENGINE.format(
            calls=shlex.quote(str(calls)),
            info=info or f"echo {shlex.quote(json.dumps(facts))}",
            image=image or f"echo {ours}",
        )
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
        return lambda: calls.read_text().splitlines()

    docker._is_rootless.cache_clear()
    yield make
    docker._is_rootless.cache_clear()


def option(launch, name):
    """Values of an option of the command line."""
    return [launch.argv[i + 1] for i, word in enumerate(launch.argv) if word == name]


def refusal(launcher, kind=LauncherError):
    with pytest.raises(kind) as caught:
        launcher.prepare(Needs())
    return str(caught.value)


def test_the_command_line(engine, tmp_path):
    engine()
    launch = Docker("game:1").prepare(Needs())
    assert launch.argv[:5] == ("docker", "run", "--rm", "--interactive", "--init")
    assert launch.argv[-4:] == ("game:1", "python", *INTERPRETER_FLAGS)
    assert option(launch, "--user") == [f"{os.getuid()}:{os.getgid()}"]
    assert option(launch, "--log-driver") == ["none"]
    assert option(launch, "--env") == ["HOME=/tmp"]
    assert option(launch, "--network") == option(launch, "--mount") == []
    assert launch.description == "image game:1 (docker)"
    assert not launch.shares_fds and Docker.named_segment


def test_each_container_has_a_name_of_its_own_by_which_it_is_stopped(engine):
    engine()
    first, second = (Docker("game").prepare(Needs()) for _ in range(2))
    (name,) = option(first, "--name")
    assert first.stop_argv == ("docker", "kill", name)
    assert option(second, "--name") != [name]


def test_the_engine_is_asked_once_and_each_image_each_time(engine):
    calls = engine()
    for image in ("a", "a", "b"):
        Docker(image).prepare(Needs())
    asked = [line.split()[0] for line in calls()]
    assert asked == ["info", "image", "image", "image"]


@pytest.mark.parametrize("facts", [ROOTLESS_DOCKER, ROOTLESS_PODMAN])
def test_without_root_the_caller_is_root_inside(engine, facts):
    engine(facts)
    assert option(Docker("game").prepare(Needs()), "--user") == ["0:0"]


@pytest.mark.parametrize("facts", [DOCKER, PODMAN, {"host": None}, {"SecurityOptions": []}])
def test_with_root_the_caller_is_itself_inside(engine, facts):
    engine(facts)
    assert option(Docker("game").prepare(Needs()), "--user") == [f"{os.getuid()}:{os.getgid()}"]


def test_files_are_mounted_read_only_and_the_segment_is_not(engine):
    engine()
    needs = Needs(files=("/home/me/game", "/opt/lib/_foreign"), segment="/dev/shm/segment")
    launch = Docker("game").prepare(needs)
    assert option(launch, "--mount") == [
        "type=bind,source=/home/me/game,target=/envring/0/game,readonly",
        "type=bind,source=/opt/lib/_foreign,target=/envring/1/_foreign,readonly",
        "type=bind,source=/dev/shm/segment,target=/envring/segment",
    ]
    assert launch.map_path("/home/me/game/env_main.py") == "/envring/0/game/env_main.py"
    assert launch.map_path("/home/me/game") == "/envring/0/game"
    assert launch.map_path("/opt/lib/_foreign/worker.py") == "/envring/1/_foreign/worker.py"
    assert launch.map_path("/dev/shm/segment") == "/envring/segment"
    assert launch.map_path("/home/me/game2") == "/home/me/game2"


def test_the_innermost_mount_has_a_file(engine):
    engine()
    launch = Docker("game").prepare(Needs(files=("/a", "/a/b")))
    assert launch.map_path("/a/b/c") == "/envring/1/b/c"
    assert launch.map_path("/a/x") == "/envring/0/a/x"


def test_paths_with_commas_and_quotes(engine):
    engine()
    launch = Docker("game").prepare(Needs(files=('/a,b"c',)))
    assert option(launch, "--mount") == [
        'type=bind,"source=/a,b""c","target=/envring/0/a,b""c",readonly'
    ]


def test_variables_are_those_of_the_worker_and_not_the_caller_s(engine, monkeypatch):
    engine()
    monkeypatch.setenv("PYTHONPATH", "/caller")
    needs = Needs(environ={"OMP_NUM_THREADS": "1", "HOME": "/x", "GONE": None})
    launch = Docker("game").prepare(needs)
    assert option(launch, "--env") == ["OMP_NUM_THREADS=1", "HOME=/x"]
    assert launch.argv[-7:] == ("game", "env", "-u", "GONE", "python", *INTERPRETER_FLAGS)
    assert launch.environ == dict(os.environ)


def test_choices(engine):
    engine(name="other-engine")
    launch = Docker(
        "game",
        engine=("other-engine", "--url", "unix:/x"),
        python="/opt/conda/bin/python",
        network="host",
        options=("--gpus", "all"),
    ).prepare(Needs())
    assert launch.argv[:4] == ("other-engine", "--url", "unix:/x", "run")
    assert launch.argv[-5:] == ("all", "game", "/opt/conda/bin/python", *INTERPRETER_FLAGS)
    assert option(launch, "--network") == ["host"]
    assert launch.stop_argv[:4] == ("other-engine", "--url", "unix:/x", "kill")


def test_an_engine_may_be_one_word():
    assert Docker("game", engine="podman") == Docker("game", engine=["podman"])


def test_launchers_are_values():
    assert len({Docker("a"), Docker("a"), Docker("b"), Docker("a", sandbox=True)}) == 3


def test_a_sandbox(engine):
    engine()
    launch = Docker("game", network="host", sandbox=True).prepare(Needs())
    assert "--read-only" in launch.argv
    assert option(launch, "--network") == ["none"]
    assert option(launch, "--cap-drop") == ["ALL"]
    assert option(launch, "--tmpfs") == ["/tmp"]


def test_a_sandbox_with_openings(engine, tmp_path):
    engine()
    (tmp_path / "roms").mkdir()
    (tmp_path / "saves").mkdir()
    openings = Sandbox(read=(tmp_path / "roms",), write=(tmp_path / "saves",), network=True)
    launch = Docker("game", sandbox=openings).prepare(Needs())
    assert option(launch, "--mount") == [
        f"type=bind,source={tmp_path}/roms,target={tmp_path}/roms,readonly",
        f"type=bind,source={tmp_path}/saves,target={tmp_path}/saves",
    ]
    assert option(launch, "--network") == []


def test_an_opening_that_is_not_there(engine):
    engine()
    launcher = Docker("game", sandbox=Sandbox(read=("/nowhere/roms",)))
    assert "The sandbox opens /nowhere/roms, which does not exist" in refusal(launcher)


# -- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", ["", " ", "--privileged", "a\0b", None, 3, ["game"]])
def test_what_is_no_image(image):
    with pytest.raises(LauncherError, match=r"Docker\(image=\) must be the name of an image, not"):
        Docker(image)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"engine": ()}, "engine"),
        ({"engine": 3}, "engine"),
        ({"engine": [None]}, "engine"),
        ({"options": [1]}, "options"),
        ({"python": ""}, "python"),
        ({"network": "-x"}, "network"),
    ],
)
def test_what_is_no_argument(arguments, words):
    with pytest.raises(LauncherError, match=rf"Docker\({words}=\) must be "):
        Docker("game", **arguments)


def test_no_engine(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(Docker("game")) == "There is no container engine docker on PATH."


def test_no_docker_but_podman(engine):
    engine(name="podman")
    launcher = Docker("game", engine=("docker-of-nobody",))
    assert 'podman is installed: Docker(..., engine=("podman",)).' in refusal(launcher)


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2375", "ssh://me@there"])
def test_an_engine_on_another_machine(engine, monkeypatch, host):
    calls = engine()
    monkeypatch.setenv("DOCKER_HOST", host)
    assert f"DOCKER_HOST is {host}, another machine" in refusal(Docker("game"))
    assert calls() == []


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ("echo 'Cannot connect to the Docker daemon' >&2; exit 1", "Cannot connect to the Docker"),
        ('echo \'{"ServerErrors": ["no daemon here"]}\'', "no daemon here"),
        ("echo not json", "exit code 0"),
        ("echo []", "exit code 0"),
        ("exit 3", "exit code 3"),
    ],
)
def test_an_engine_that_does_not_answer(engine, info, words):
    engine(info=info)
    text = refusal(Docker("game"))
    assert "The container engine " in text and "does not answer: " in text and words in text


def test_an_engine_that_hangs(engine, monkeypatch):
    monkeypatch.setattr(docker, "_TIMEOUT", 0.3)
    engine(info="exec sleep 1000")
    assert "did not answer within" in refusal(Docker("game"))


def test_an_engine_that_is_no_program(engine, tmp_path):
    engine()
    (tmp_path / "engines/docker").write_text("no program")
    assert "cannot be run: Exec format error" in refusal(Docker("game"))


def test_an_engine_that_did_not_answer_is_asked_again(engine):
    engine(info="exit 1")
    refusal(Docker("game"))
    engine()
    assert Docker("game").prepare(Needs()).argv


def test_no_such_image(engine):
    engine(image="echo 'No such image: game' >&2; exit 1")
    text = refusal(Docker("game"), InterpreterError)
    assert "docker has no image game: No such image: game" in text
    assert "docker pull game" in text


def test_an_image_for_another_machine(engine):
    engine(image="echo s390x-of-nobody")
    text = refusal(Docker("game"), InterpreterError)
    assert "The image game is for s390x-of-nobody, but this machine is" in text
    assert "docker pull --platform linux/" in text
