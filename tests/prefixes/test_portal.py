# SPDX-License-Identifier: MIT
"""Env directories: which files they are made of, and what the launcher takes from them."""

import dataclasses

import pytest

import envring
from envring import AgentSidePortal, EnvSidePortal, EnvSource
from envring.api import making
from envring.api.portal import directory_named, launcher_for, open_directory
from envring.errors import LauncherError, SourceError, SpecError
from envring.launchers.micromamba import Micromamba
from envring.prefixes import recipes


@pytest.fixture
def directory(tmp_path):
    home = tmp_path / "env"
    home.mkdir()
    (home / "spec.yml").write_text("dependencies: [python=3.8, pip: [portal-env, gym]]\n")
    (home / "env_setup.py").write_text("")
    (home / "env_main.py").write_text("from portal_env import EnvSidePortal\n")
    return home


@pytest.mark.parametrize("text", ["{}", "dir:{}"])
def test_files_of_a_directory(directory, text):
    source, launcher = open_directory(text.format(directory), ["a"], {"b": 1})
    assert source.portal
    assert source.env == str(directory / "env_main.py")
    assert (list(source.args), dict(source.kwargs)) == (["a"], {"b": 1})
    assert launcher == Micromamba(
        str(directory / "spec.yml"), setup=str(directory / "env_setup.py"), portal=True
    )
    assert launcher.request().spec.pip == ("gym", "gymnasium")


def test_relative_and_home_paths(directory, monkeypatch):
    monkeypatch.chdir(directory.parent)
    monkeypatch.setenv("HOME", str(directory.parent))
    assert open_directory("env") == open_directory("~/env") == open_directory(directory)


def test_setup_is_optional_and_options_are_the_launchers(directory):
    (directory / "env_setup.py").unlink()
    _, launcher = open_directory(directory, solver="conda", sandbox=True)
    assert launcher.setup is None
    assert launcher.solver == "conda"
    assert launcher.sandbox is True


def test_conda_names_of_the_spec(directory):
    (directory / "spec.yml").rename(directory / "environment.yml")
    _, launcher = open_directory(directory)
    assert launcher.spec == str(directory / "environment.yml")


@pytest.mark.parametrize("missing", ["spec.yml", "env_main.py"])
def test_missing_files(directory, missing):
    (directory / missing).unlink()
    with pytest.raises(SourceError, match=f"env' has no {missing}: "):
        open_directory(directory)


def test_missing_directory_and_arguments_that_cannot_travel(directory):
    with pytest.raises(SourceError, match="There is no env directory"):
        open_directory(directory / "gone")
    with pytest.raises(SourceError, match="kwargs"):
        open_directory(directory, kwargs={"f": len})


@pytest.mark.parametrize("recipe", recipes.available(), ids=lambda each: each.name)
def test_recipes_are_such_directories(recipe):
    source, launcher = open_directory(f"recipe:{recipe.name}")
    assert source.env == str(recipe.directory / "env_main.py")
    spec = launcher.request().spec
    assert spec.name == recipe.name
    assert any(each.startswith("python=") for each in spec.dependencies)


def test_recipe_that_is_none():
    with pytest.raises(SpecError, match="There is no recipe 'doom'; the recipes are ale, "):
        open_directory("recipe:doom")


def test_sources_name_directories(directory):
    source, launcher = open_directory(directory, ["a"], solver="conda", sandbox=True)
    found = EnvSource(f"dir:{directory}", args=["a"], solver="conda", sandbox=True)
    assert (found.env, found.portal, found.launcher) == (source.env, True, launcher)
    assert dataclasses.replace(found, args=["b"]).launcher == launcher
    assert EnvSource("recipe:atari").launcher == open_directory("recipe:ale")[1]
    other = EnvSource(f"dir:{directory}", launcher="prefix:/x")
    assert (other.env, other.launcher) == (source.env, "prefix:/x")
    by_launcher = EnvSource("CartPole-v1", launcher=f"dir:{directory}", solver="conda")
    assert (by_launcher.env, by_launcher.launcher.solver) == ("CartPole-v1", "conda")


def test_sandbox_and_solver_without_a_directory(directory):
    with pytest.raises(SourceError, match='are for "dir:..." and "recipe:...". Give them to'):
        EnvSource("CartPole-v1", sandbox=True)
    with pytest.raises(SourceError, match="Give sandbox= and solver= to the launcher 'prefix:/x'"):
        EnvSource(f"dir:{directory}", launcher="prefix:/x", solver="conda")


def test_make_takes_sandbox_and_solver(directory):
    text = f"dir:{directory}"
    given = {"sandbox": True, "solver": "conda", "env_args": ["a"]}
    found = making._source(text, {}, given)
    assert (found.launcher.sandbox, found.launcher.solver) == (True, "conda")
    found = making._source("CartPole-v1", {"launcher": text}, {"solver": "conda", "x": 1})
    assert (found.launcher.solver, found.kwargs) == ("conda", {"x": 1})


def test_directory_for_containers(directory):
    """Portal-Env's default form: the error has the commands, and what they lead to works."""
    (directory / "spec.yml").unlink()
    (directory / "Dockerfile.env").write_text("FROM python:3.12\n")
    with pytest.raises(SourceError) as caught:
        envring.make(f"dir:{directory}")
    said = str(caught.value)
    assert f"docker build -f '{directory}/Dockerfile.env' -t env_portal_env '{directory}'" in said
    assert 'launcher="docker:env_portal_env"' in said
    source = EnvSource(f"dir:{directory}", launcher="docker:env_portal_env")
    assert source.env == str(directory / "env_main.py")
    assert launcher_for(f"dir:{directory}", "docker") == "docker:env_portal_env"


def test_names_of_portal_env(directory, monkeypatch):
    assert directory_named("atari") == "recipe:atari"
    assert directory_named(str(directory)) == f"dir:{directory}"
    monkeypatch.chdir(directory.parent)
    assert directory_named("env") == "dir:env"
    for backend in (None, "mm", "micromamba"):
        assert launcher_for("recipe:ale", backend).solver is None
    assert launcher_for("recipe:ale", "rattler").solver == "rattler"
    assert launcher_for("recipe:ale", "prefix:/x") == "prefix:/x"
    with pytest.raises(LauncherError, match="There is no backend 'kvm': use docker, micromamba"):
        AgentSidePortal("ale", backend="kvm")


def test_env_side_serves_nothing(monkeypatch, capsys, directory):
    monkeypatch.setattr("sys.argv", [str(directory / "env_main.py")])
    EnvSidePortal(env_factory=len, port=7001).start()
    assert f"env = envring.make('dir:{directory}'" in capsys.readouterr().out
