# SPDX-License-Identifier: MIT
"""Env directories: which files they are made of, and what the launcher takes from them."""

import pytest

from envring.api.portal import open_directory
from envring.errors import SourceError, SpecError
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
