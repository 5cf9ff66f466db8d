# SPDX-License-Identifier: MIT
"""Which program builds, and how each of them is called."""

import contextlib
import importlib.util
import json
import sys

import pytest

from envring.errors import LauncherError
from envring.prefixes import solvers, spec


@pytest.fixture
def programs(tmp_path, solving, monkeypatch):
    """A function that puts solvers on PATH, which is otherwise empty; no $MAMBA_EXE."""
    monkeypatch.delenv("MAMBA_EXE")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return lambda *names: [str(solving.install(name, "bin")) for name in names]


def test_mamba_exe_comes_first(programs, solving, monkeypatch):
    programs("micromamba", "conda")
    own = solving.install("micromamba-2.8-linux-64", "elsewhere")
    monkeypatch.setenv("MAMBA_EXE", str(own))
    assert solvers.choose() == solvers.Solver("micromamba", str(own))


@pytest.mark.parametrize("name", ["mamba", "conda"])
def test_mamba_exe_may_be_another(programs, solving, monkeypatch, name):
    monkeypatch.setenv("MAMBA_EXE", str(solving.install(name, "elsewhere")))
    assert solvers.choose().name == name


@pytest.mark.parametrize("value", ["", "/gone/micromamba", "/etc/passwd", "/"])
def test_mamba_exe_that_is_no_program_is_passed_over(programs, monkeypatch, value):
    (found,) = programs("micromamba")
    monkeypatch.setenv("MAMBA_EXE", value)
    says = pytest.warns(UserWarning, match=f"MAMBA_EXE is '{value}', which is not an executable")
    with says if value else contextlib.nullcontext():
        assert solvers.choose().executable == found


def test_then_path_by_kind_not_by_place(programs):
    conda, mamba, micromamba = programs("conda", "mamba", "micromamba")
    assert solvers.choose().executable == micromamba
    assert solvers.choose("mamba") == solvers.Solver("mamba", mamba)
    assert solvers.choose("conda") == solvers.Solver("conda", conda)


def test_then_rattler(programs):
    assert solvers.choose() == solvers.Solver("rattler", sys.executable)
    assert solvers.choose("py-rattler") == solvers.choose("rattler") == solvers.choose()


def test_without_any_it_says_what_to_install(programs, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LauncherError, match=r"micromamba, mamba or conda.*pip install 'envring\["):
        solvers.choose()
    with pytest.raises(LauncherError, match=r"pip install 'envring\[conda\]'"):
        solvers.choose("rattler")


def test_wishes_that_cannot_be_granted(programs, tmp_path):
    with pytest.raises(LauncherError, match="solver 'micromamba' is not installed: put it on PATH"):
        solvers.choose("micromamba")
    with pytest.raises(LauncherError, match="There is no solver 'pip'. Use one of micromamba,"):
        solvers.choose("pip")
    with pytest.raises(LauncherError, match="There is no solver '/usr/bin/env'"):
        solvers.choose("/usr/bin/env")
    with pytest.raises(LauncherError, match="solver '/gone/micromamba' is not installed"):
        solvers.choose("/gone/micromamba")


def test_a_path_is_a_wish_too(programs, solving):
    own = solving.install("mamba", "elsewhere")
    assert solvers.choose(str(own)) == solvers.Solver("mamba", str(own))


@pytest.fixture
def environment(solving):
    text = "channels: [defaults, x]\ndependencies: [python=3.8, pip: [gym]]\n"
    return spec.load(solving.spec(text))


@pytest.mark.parametrize("name", ["micromamba", "mamba", "conda"])
def test_programs_read_a_file_without_the_pip_section(environment, tmp_path, name):
    solver = solvers.Solver(name, f"/bin/{name}")
    argv = solver.command(environment, tmp_path / "prefix", tmp_path, tmp_path / "packages")
    assert argv[-4:] == ["-p", str(tmp_path / "prefix"), "-f", str(tmp_path / "conda.yml")]
    assert argv[:-4] == [
        f"/bin/{name}",
        *(["create", "-y"] if name == "micromamba" else ["env", "create"]),
    ]
    assert json.loads((tmp_path / "conda.yml").read_text()) == {
        "channels": ["defaults", "x"],
        "dependencies": ["python=3.8", "pip"],
    }


def test_rattler_learns_what_defaults_are(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", "https://mirror/conda")
    solver = solvers.Solver("rattler", sys.executable)
    argv = solver.command(environment, tmp_path / "prefix", tmp_path, tmp_path / "packages")
    assert argv[:2] == [sys.executable, "-P"]
    job = json.loads((tmp_path / "rattler.json").read_text())
    assert job["channels"][0] == "https://repo.anaconda.com/pkgs/main"
    assert job["channels"][-1] == "x"
    assert job["alias"] == "https://mirror/conda/"


def test_programs_are_told_what_was_asked_of_conda(solving, monkeypatch):
    plain = spec.load(solving.spec("dependencies: [python]"))
    assert not {"CONDA_CHANNEL_PRIORITY", "MAMBA_CHANNEL_ALIAS"} & set(solvers.settings_for(plain))
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", "https://mirror")
    monkeypatch.setenv("CONDA_CHANNEL_PRIORITY", "disabled")
    found = solvers.settings_for(plain)
    assert found["MAMBA_CHANNEL_ALIAS"] == "https://mirror"
    assert found["MAMBA_CHANNEL_PRIORITY"] == "disabled"
    monkeypatch.setenv("MAMBA_CHANNEL_ALIAS", "https://own")
    strict = spec.load(solving.spec("channel_priority: strict\ndependencies: [python]"))
    found = solvers.settings_for(strict)
    assert found["MAMBA_CHANNEL_ALIAS"] == "https://own"
    assert found["CONDA_CHANNEL_PRIORITY"] == found["MAMBA_CHANNEL_PRIORITY"] == "strict"


def test_programs_learn_that_only_the_named_channels_count(solving, tmp_path):
    only = spec.load(solving.spec("channels: [a, nodefaults]\ndependencies: [python]"))
    solvers.Solver("conda", "conda").command(only, tmp_path / "prefix", tmp_path, tmp_path)
    assert json.loads((tmp_path / "conda.yml").read_text())["channels"] == ["a", "nodefaults"]


@pytest.mark.parametrize("name", ["micromamba", "conda"])
def test_lockfiles_are_handed_on(solving, tmp_path, name):
    url = "https://conda.anaconda.org/conda-forge/noarch/pip-24.0-pyhd8ed1ab_0.conda"
    locked = spec.load(solving.spec(f"@EXPLICIT\n{url}\n", "game.lock"))
    solver = solvers.Solver(name, name)
    argv = solver.command(locked, tmp_path / "prefix", tmp_path, tmp_path / "packages")
    assert argv[1:3] == ["create", "-y"]
    assert argv[-2:] == ["--file", str(tmp_path / "explicit.txt")]
    assert (tmp_path / "explicit.txt").read_text() == f"@EXPLICIT\n{url}\n"
