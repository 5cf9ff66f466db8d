# SPDX-License-Identifier: MIT
"""`envring doctor`: what each check says of machines of many kinds."""

import importlib.metadata
import json
import os
import resource
import socket
import threading
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from envring.cli import doctor as cli
from envring.cli.commands import command
from envring.doctor import checks, machine, programs, system
from envring.doctor.finding import OK, PROBLEM, WARNING, Finding, output, problem, warning
from envring.errors import LauncherError

FOUND = {
    "good": lambda: Finding("it is there"),
    "slow": lambda: warning("it is slow", "buy another"),
}


def doctor(*arguments):
    return CliRunner().invoke(command, ["doctor", *arguments], catch_exceptions=False)


@pytest.fixture
def only(monkeypatch):
    """Has the command make these checks only."""

    def replace(found):
        run = checks.run
        monkeypatch.setattr(checks, "run", lambda: run(found))

    return replace


# -- the command -----------------------------------------------------------------------------------


def test_a_table(only):
    only(FOUND)
    done = doctor()
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "ok       good  it is there",
        "warning  slow  it is slow",
        "               -> buy another",
    ]


def test_a_table_by_rich(capsys):
    pytest.importorskip("rich")
    cli._show_rich(checks.run(FOUND))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "ok       good  it is there",
        "warning  slow  it is slow",
        "               -> buy another",
    ]


def test_a_problem_is_the_exit_code(only):
    only({**FOUND, "bad": lambda: problem("it is not there", "make it")})
    assert doctor().exit_code == 1


def test_json(only):
    only(FOUND)
    found = json.loads(doctor("--json").output)
    assert [(each["name"], each["level"]) for each in found["checks"]] == [
        ("good", OK),
        ("slow", WARNING),
    ]
    assert found["checks"][1]["cure"] == "buy another"


# -- how checks are run ----------------------------------------------------------------------------


def test_a_check_that_hangs_or_fails_hides_no_other():
    start = time.monotonic()
    event = threading.Event()
    hanging, failing, good = checks.run(
        {
            "hanging": lambda: event.wait(30),
            "failing": lambda: 1 / 0,
            "good": FOUND["good"],
        },
        seconds=1.5,
    )
    assert time.monotonic() - start < 15
    assert (hanging.name, hanging.level) == ("hanging", WARNING)
    assert "1.5 seconds" in hanging.text
    assert (failing.level, failing.text) == (WARNING, "ZeroDivisionError: division by zero")
    assert (good.name, good.level) == ("good", OK)
    event.set()
    for thread in threading.enumerate():
        if thread.name == "envring-doctor":
            thread.join()


def test_this_machine_can_run_envs():
    quick = {name: check for name, check in checks.CHECKS.items() if name != "conda"}
    for each in checks.run(quick):
        assert each.text
        assert each.level == OK or each.cure, each
        assert each.level != PROBLEM, each


def test_a_program_that_hangs_or_fails_says_nothing():
    assert output(["sleep", "30"], 0.1) is None
    assert output(["false"], 5.0) is None
    assert output(["/no/such/program"], 5.0) is None
    assert output(["echo", "1.2"], 5.0) == "1.2"


# -- the system ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name", "value", "level"),
    [
        ("platform", "python_implementation", "PyPy", PROBLEM),
        ("platform", "machine", "riscv64", WARNING),
        ("platform", "machine", "aarch64", OK),
    ],
)
def test_python(monkeypatch, module, name, value, level):
    monkeypatch.setattr(f"{module}.{name}", lambda: value)
    assert system.python().level == level


def test_a_library_that_does_not_load(monkeypatch, tmp_path):
    monkeypatch.setattr(system, "LIBRARY", tmp_path / "libenvring.so")
    found = system.core()
    assert found.level == PROBLEM
    assert "libenvring.so" in found.text


def test_system_calls_that_are_refused(monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", refused)
    monkeypatch.setattr(system, "make_sealed_file", refused)
    found = system.kernel()
    assert found.level == PROBLEM
    assert "pidfd_open (Operation not permitted), memfd_create" in found.text


def test_a_slow_clock(monkeypatch):
    monkeypatch.setattr(system, "_SLOW_CLOCK", 0.0)
    assert system.clock().level == WARNING
    monkeypatch.setattr(system, "_SLOW_CLOCK", 1.0)
    assert system.clock().level == OK


@pytest.mark.parametrize(
    ("files", "processes", "word"),
    [(256, -1, "ulimit -n 4096"), (4096, 100, "ulimit -u"), (4096, -1, "")],
)
def test_limits(monkeypatch, files, processes, word):
    values = {
        resource.RLIMIT_NOFILE: (files, 4096),
        resource.RLIMIT_NPROC: (processes, -1),
        resource.RLIMIT_MEMLOCK: (8 << 20, 8 << 20),
    }
    monkeypatch.setattr(resource, "getrlimit", values.__getitem__)
    found = system.limits()
    assert found.level == (WARNING if word else OK)
    assert word in found.cure
    assert "8 MiB" in found.text


@pytest.mark.parametrize(("free", "level"), [(10, WARNING), (100, OK)])
def test_shm(monkeypatch, free, level):
    told = SimpleNamespace(f_blocks=100, f_bavail=free, f_frsize=1 << 20)
    monkeypatch.setattr(os, "statvfs", lambda _: told)
    found = system.shm()
    assert found.level == level
    assert f"{free} MiB of 100 MiB" in found.text


def test_no_shm(monkeypatch, tmp_path):
    monkeypatch.setattr(system, "_SHM", str(tmp_path / "none"))
    assert system.shm().level == WARNING


def test_no_loopback(monkeypatch):
    def refused(*_):
        raise OSError(99, "Cannot assign requested address")

    assert system.port().level == OK
    monkeypatch.setattr(socket, "create_server", refused)
    assert "Cannot assign" in system.port().text


# -- the machine -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "quota", "level"),
    [([0, 1, 2, 3], None, OK), ([0, 1, 2, 3], 1.5, WARNING), ([0], None, WARNING)],
)
def test_cores(monkeypatch, allowed, quota, level):
    for place in ("envring.doctor.machine", "envring.cpus"):
        monkeypatch.setattr(f"{place}.allowed_cpus", lambda: allowed)
        monkeypatch.setattr(f"{place}.cgroup_quota", lambda: quota)
    found = machine.cpus()
    assert found.level == level
    if quota:
        assert "quota is 1.5" in found.text
        assert "num_workers=2" in found.cure


def files(root, texts):
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_memory_limit_of_cgroup_v2(tmp_path):
    files(
        tmp_path,
        {
            "cgroup": "0::/a/b\n",
            "fs/a/b/memory.max": "max\n",
            "fs/a/b/memory.current": "7\n",
            "fs/a/memory.max": "1000\n",
            "fs/a/memory.current": "400\n",
            "fs/a/memory.stat": "anon 300\ninactive_file 100\n",
        },
    )
    assert machine.memory_limit(tmp_path / "fs", tmp_path / "cgroup") == (1000, 300)


def test_memory_limit_of_cgroup_v1(tmp_path):
    files(
        tmp_path,
        {
            "cgroup": "5:cpu,cpuacct:/x\n4:memory:/m\n",
            "fs/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "fs/memory/memory.usage_in_bytes": "5000\n",
            "fs/memory/m/memory.limit_in_bytes": "2000\n",
            "fs/memory/m/memory.usage_in_bytes": "1500\n",
        },
    )
    assert machine.memory_limit(tmp_path / "fs", tmp_path / "cgroup") == (2000, 1500)


def test_no_memory_limit(tmp_path):
    assert machine.memory_limit(tmp_path, tmp_path / "none") == (None, 0)


@pytest.mark.parametrize(("used", "level"), [(1 << 28, OK), ((1 << 30) - 5, WARNING)])
def test_memory(monkeypatch, used, level):
    monkeypatch.setattr(machine, "_available", lambda: 1 << 33)
    monkeypatch.setattr(machine, "memory_limit", lambda: (1 << 30, used))
    found = machine.memory()
    assert found.level == level
    assert "8.0 GiB available, the cgroup's limit is 1.0 GiB" in found.text


@pytest.mark.parametrize(("ticks", "level"), [(1, OK), (1000, WARNING)])
def test_load(monkeypatch, ticks, level):
    looks = iter([{7: (0, "miner")}, {7: (ticks, "miner"), 8: (5, "new")}])
    monkeypatch.setattr(machine, "_ticks", lambda: next(looks))
    monkeypatch.setattr(machine, "_SECONDS", 0.2)
    monkeypatch.setattr(machine, "usable_cpus", lambda: 4)
    found = machine.load()
    assert found.level == level
    assert ("miner (7)" in found.text) == (level == WARNING)


def test_processes_are_seen():
    ticks, name = machine._ticks()[os.getpid()]
    assert ticks > 0
    assert name


# -- programs --------------------------------------------------------------------------------------


@pytest.fixture
def path(monkeypatch, tmp_path):
    """A PATH with nothing but programs of these names, which print the text."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CC", "MAMBA_EXE"):
        monkeypatch.delenv(name, raising=False)

    def put(name, text="", code=0):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{text}'\nexit {code}\n")
        program.chmod(0o755)

    return put


def test_compiler(path):
    assert programs.compiler().text.startswith("none")
    path("gcc", "gcc (Debian) 12.2.0")
    assert programs.compiler().text == "gcc (Debian) 12.2.0"


def test_conda(path, monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert programs.conda().text.startswith("no micromamba")
    path("conda", "conda 24.1.2")
    path("mamba", "", 1)
    found = programs.conda()
    assert (found.level, found.text) == (OK, "mamba (does not answer), conda 24.1.2; mamba is used")


def test_containers(path):
    assert programs.containers().text.startswith("no docker")
    path("docker", "", 1)
    assert programs.containers().level == WARNING
    path("podman", "4.3.1")
    assert (programs.containers().level, programs.containers().text) == (
        OK,
        "docker (no answer), podman 4.3.1",
    )


def test_sandbox(path, monkeypatch):
    def refused():
        raise LauncherError("bubblewrap cannot make one. It needs user namespaces.")

    monkeypatch.setattr(programs, "bubblewrap", refused)
    assert programs.sandbox().text.startswith("no bwrap")
    path("bwrap")
    found = programs.sandbox()
    assert (found.level, found.cure) == (WARNING, "It needs user namespaces.")


def test_extras(monkeypatch):
    requirements = [
        "numpy>=1.26",
        'click>=8.2; extra == "cli"',
        'rich>=13; extra == "bench"',
        'matplotlib>=3.8; extra == "bench"',
        'gymnasium[classic-control]; extra == "test"',
        'envring[cli,conda]; extra == "test"',
        'ruff==0.17.*; extra == "dev"',
    ]
    there = {"click", "rich"}

    def version(name):
        if name not in there:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(importlib.metadata, "requires", lambda _: requirements)
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert programs.extras().text == "installed: cli; not: pip install 'envring[bench]'"
    there.add("matplotlib")
    assert programs.extras().text == "installed: bench, cli"


def test_prefixes(monkeypatch, tmp_path):
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path))
    assert (programs.prefixes().level, programs.prefixes().text) == (OK, f"{tmp_path}: 0 ready")
    (tmp_path / "envs" / "game-0123").mkdir(parents=True)
    found = programs.prefixes()
    assert found.level == WARNING
    assert "not finished: game-0123" in found.text
