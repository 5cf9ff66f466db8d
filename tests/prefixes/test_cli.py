# SPDX-License-Identifier: MIT
"""The command line: envring env create, list, show, remove, run, freeze, recipes."""

import importlib.util
import json
import os
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

import envring
from envring import cli
from envring.cli.commands import command
from envring.prefixes import cache, lock
from prefixes.solving import WITHIN


@pytest.fixture
def call(solving):
    """A function that runs `envring env ...` and returns what it printed."""

    def call(*argv, code=0):
        result = CliRunner().invoke(command, ["env", *map(str, argv)], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.stdout if code == 0 else result.stderr

    return call


def test_create_prints_the_prefix(call, solving):
    spec = solving.spec()
    prefix = call("create", "-f", spec).strip()
    assert os.access(f"{prefix}/bin/python", os.X_OK)
    assert call("create", "-q", "--file", spec).strip() == prefix
    assert len(solving.calls) == 1


def test_create_anew(call, solving):
    spec = solving.spec()
    prefix = call("create", "-f", spec).strip()
    open(f"{prefix}/old", "w").close()
    assert call("create", "-f", spec, "--force").strip() == prefix
    assert not os.path.exists(f"{prefix}/old")
    assert len(solving.calls) == 2


def test_create_with_setup_and_solver(call, solving):
    setup = solving.directory / "setup.py"
    setup.write_text("import os; open(os.environ['CONDA_PREFIX'] + '/was_set_up', 'w')")
    conda = solving.install("conda")
    prefix = call("create", "-f", solving.spec(), "--setup", setup, "--solver", conda).strip()
    assert os.path.exists(f"{prefix}/was_set_up")
    assert solving.calls[0].startswith("conda env create -p")


def test_create_for_an_env_directory(call, solving):
    solving.spec("name: p\ndependencies: [python, pip: [portal-env]]\n", "env/spec.yml")
    (solving.directory / "env/env_main.py").write_text("")
    text = "dependencies: [python=2.7, pip]\n"
    solving.spec(f"name: p\n{text}", "env/spec.yml")
    first = call("create", "-f", solving.directory / "env").strip()
    assert call("create", "-f", f"dir:{solving.directory}/env").strip() == first
    said = call("create", "-f", solving.directory / "env", "--setup", "x.py", code=2)
    assert "its setup file is env_setup.py" in said


def test_errors_are_shown_without_a_traceback(call, solving):
    said = call("create", "-f", solving.spec("dependencies: [python"), code=1)
    assert said.startswith("Error: '")
    assert "line 2, column 1: this is not YAML" in said
    assert "Traceback" not in said


def test_list(call, solving):
    assert call("list") == ""
    call("create", "-f", solving.spec())
    head, row = call("list").splitlines()
    assert head.split() == ["NAME", "STATE", "PYTHON", "SOLVER", "MB", "BUILT"]
    assert row.split()[1:4] == ["ready", "3.11.0", "micromamba"]
    (found,) = json.loads(call("list", "--json"))
    assert found["key"] == row.split()[0]
    assert found["bytes"] > 0


def test_list_says_what_is_no_prefix_yet(call, solving, monkeypatch):
    monkeypatch.setenv("STAND_IN_EXIT", "1")
    call("create", "-f", solving.spec(), code=1)
    assert call("list").split()[-2:] == ["failed", "0"]
    (entry,) = cache.entries()
    assert f"{entry.key} is not ready: its state is failed; log: {entry.log}" in call(
        "run", "game", "python", code=1
    )


def test_show(call, solving):
    spec = solving.spec("name: game\ndependencies: [python]\nvariables: {LEVEL: 3}\n")
    prefix = call("create", "-f", spec).strip()
    record = {"name": "python", "version": "3.11.0", "build": "0", "files": []}
    with open(f"{prefix}/conda-meta/python-3.11.0-0.json", "w") as file:
        json.dump(record, file)
    text = call("show", "game")
    assert f"prefix: {prefix}\n" in text
    assert f"spec: {spec}\n" in text
    assert "conda packages:\n  python 3.11.0\n" in text
    assert "pip packages: none\n" in text
    assert "  LEVEL=3\n" in text
    assert json.loads(call("show", "game", "--json"))["variables"]["CONDA_PREFIX"] == prefix


def test_names_that_are_none_or_many(call, solving):
    assert "There is no prefix 'game' in" in call("show", "game", code=1)
    keys = []
    for text in ("[python]", "[python, gym]"):
        call("create", "-f", solving.spec(f"name: game\ndependencies: {text}\n"))
    keys = [entry.key for entry in cache.entries()]
    said = call("remove", "game", code=1)
    assert all(key in said for key in keys)
    assert len(list(cache.entries())) == 2
    call("remove", *keys)
    assert list(cache.entries()) == []


def test_remove(call, solving):
    prefix = call("create", "-f", solving.spec()).strip()
    assert "name the prefixes to remove" in call("remove", code=2)
    assert "or pass --all" in call("remove", "--all", "game", code=2)
    call("remove", "game")
    assert not os.path.exists(os.path.dirname(prefix))
    call("create", "-f", solving.spec())
    call("remove", "--all")
    assert list(cache.entries()) == []


def test_remove_waits_for_a_builder(call, solving, monkeypatch):
    monkeypatch.setattr("envring.cli.env._REMOVE_SECONDS", 0.1)
    call("create", "-f", solving.spec())
    (entry,) = cache.entries()
    with lock.hold(entry.lock, time.monotonic() + WITHIN):
        assert "is being built" in call("remove", "game", code=1)
    assert entry.state() == "ready"


def run(solving, *argv):
    """The command in a process of its own: it becomes what it runs."""
    return subprocess.run(
        [sys.executable, "-m", "envring.cli", "env", "run", *argv],
        env=os.environ | solving.variables,
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )


def test_run(call, solving):
    spec = solving.spec("name: game\ndependencies: [python]\nvariables: {LEVEL: 3}\n")
    code = "import os, sys; print(os.environ['LEVEL'], *sys.argv[1:]); sys.exit(7)"
    done = run(solving, spec, "python", "-c", code, "--flag", "-f")
    assert (done.returncode, done.stdout) == (7, "3 --flag -f\n")
    done = run(solving, "game", "--", "python", "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (7, "3\n", "")


def test_run_what_is_not_there(call, solving):
    call("create", "-f", solving.spec())
    assert "name a command" in call("run", "game", code=2)
    assert "'frobnicate' cannot be run: No such file" in call("run", "game", "frobnicate", code=1)


def test_freeze_to_a_file(call, solving):
    prefix = call("create", "-f", solving.spec()).strip()
    url = "https://conda.anaconda.org/conda-forge/linux-64/python-3.11.0-0.conda"
    record = {"name": "python", "version": "3.11.0", "build": "0", "url": url, "md5": "ab"}
    with open(f"{prefix}/conda-meta/python-3.11.0-0.json", "w") as file:
        json.dump(record | {"subdir": "linux-64"}, file)
    output = solving.directory / "frozen.yml"
    assert call("freeze", "game", "-o", output) == ""
    assert output.read_text() == call("freeze", "game")
    assert '- "https://conda.anaconda.org/conda-forge"\n' in output.read_text()
    assert '- "python=3.11.0=0"\n' in output.read_text()
    assert call("freeze", "game", "--explicit").endswith(f"@EXPLICIT\n{url}#ab\n")


def test_freeze_says_what_a_lockfile_leaves_out(call, solving):
    prefix = call("create", "-f", solving.spec()).strip()
    with open(f"{prefix}/conda-meta/x-1-0.json", "w") as file:
        json.dump(
            {"name": "x", "version": "1", "build": "0", "url": "https://c/noarch/x.conda"}, file
        )
    info = f"{prefix}/lib/python3.11/site-packages/gym-0.21.0.dist-info"
    os.makedirs(info)
    with open(f"{info}/METADATA", "w") as file:
        file.write("Name: gym\nVersion: 0.21.0\n\nLong: description\n")
    result = CliRunner().invoke(command, ["env", "freeze", "game", "--explicit"])
    assert "omits what pip installed: gym." in result.stderr
    assert "gym" not in result.stdout
    assert '- pip:\n  - "gym==0.21.0"\n' in call("freeze", "game")
    with open(f"{info}/direct_url.json", "w") as file:
        vcs = {"vcs": "git", "commit_id": "abc"}
        json.dump({"url": "https://x/gym", "vcs_info": vcs}, file)
    assert '"gym @ git+https://x/gym@abc"' in call("freeze", "game")


def test_recipes(call):
    rows = {line.split()[0]: line for line in call("recipes").splitlines()[1:]}
    assert set(rows) == {"ale", "craftium", "flappy-bird", "mujoco", "retro", "vizdoom"}
    assert "untested" in rows["craftium"]
    assert "untested" not in rows["ale"]


def test_build_by_names(call, solving):
    solving.spec("name: p\ndependencies: [python]\n", "env/spec.yml")
    said = call("build", "ale", "atari", solving.directory / "env", "recipe:mujoco")
    built = dict(line.split(": ") for line in said.splitlines())
    assert list(built) == ["ale", "atari", str(solving.directory / "env"), "recipe:mujoco"]
    assert built["ale"] == built["atari"]
    assert len(solving.calls) == 3
    assert "name what to build, or pass --all" in call("build", code=2)


def test_build_all_goes_on_after_a_failure(call, solving, monkeypatch):
    program = solving.install()
    program.write_text(
        program.read_text().replace("exit", 'case "$prefix" in *vizdoom*) exit 4;; esac\nexit')
    )
    monkeypatch.setattr("envring.prefixes.build._Build._install_pip", lambda build: None)
    monkeypatch.setattr("envring.prefixes.build._Build._run_setup", lambda build: None)
    said = call("build", "--all", code=1)
    assert "vizdoom: " in said and "These could not be built: vizdoom." in said
    assert {entry.name for entry in cache.entries() if entry.ready()} == {
        *("ale", "craftium", "flappy-bird", "mujoco", "retro")
    }


def test_portal_start_builds_and_says_how_to_use_it(solving):
    solving.spec("name: p\ndependencies: [python]\n", "env/spec.yml")
    (solving.directory / "env/env_main.py").write_text("")
    argv = ["portal", "start", "own", "-b", "mm", "-d", "-p", str(solving.directory / "env")]
    result = CliRunner().invoke(command, argv, catch_exceptions=False)
    prefix, *usage = result.stdout.splitlines()
    assert os.access(f"{prefix}/bin/python", os.X_OK)
    assert "Nothing needs to be served" in usage[0]
    assert f"envring.make('dir:{solving.directory}/env', env_args=" in usage[1]
    result = CliRunner().invoke(command, ["portal", "start", "doom"])
    assert "There is no recipe 'doom'" in result.stderr


def test_help_and_version():
    result = CliRunner().invoke(command, ["--version"])
    assert result.stdout == f"envring, version {envring.__version__}\n"
    listed = CliRunner().invoke(command, ["env", "--help"]).stdout
    for name in ("create", "list", "show", "remove", "run", "freeze", "recipes"):
        assert f"\n  {name} " in listed


def test_without_click_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"needs click: pip install 'envring\[cli\]'"):
        cli.main()
