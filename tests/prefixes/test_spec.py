# SPDX-License-Identifier: MIT
"""Specs: what they may say, and what is said where they are wrong."""

import platform
import sys

import pytest

from envring.errors import LauncherError, SpecError
from envring.prefixes import spec


@pytest.fixture
def load(tmp_path):
    def load(text, name="spec.yml", **options):
        path = tmp_path / name
        path.write_text(text)
        return spec.load(path, **options)

    return load


def test_reads_what_conda_reads(load, tmp_path):
    (tmp_path / "more.txt").write_text("gym==0.21\n")
    found = load("""
name: old-game
channels: [conda-forge, nodefaults, ./mine]
dependencies:
  - python=3.8
  - conda-forge::numpy>=1.19,<1.20
  - pip:
      - -r more.txt
variables: {LEVEL: 3}
prefix: /somewhere/else
""")
    assert found.name == "old-game"
    assert found.channels == ("conda-forge", (tmp_path / "mine").as_uri())
    assert found.dependencies == ("python=3.8", "conda-forge::numpy>=1.19,<1.20", "pip")
    assert found.pip == (f"-r {tmp_path / 'more.txt'}",)
    assert found.variables == (("LEVEL", "3"),)
    assert found.watched == (tmp_path / "more.txt",)


def test_pip_is_not_asked_for_twice(load):
    found = load("dependencies: [python, pip=23, {pip: [gym]}]")
    assert found.dependencies == ("python", "pip=23")


def test_without_channels_it_is_conda_forge(load):
    assert load("dependencies: [python]").channels == ("conda-forge",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("spec.yml", "DIRECTORY"), ("pong.yml", "pong"), ("env.yaml", "DIRECTORY")],
)
def test_name_comes_from_the_file_or_its_directory(load, tmp_path, name, expected):
    found = load("dependencies: [python]", name)
    assert found.name == expected.replace("DIRECTORY", tmp_path.name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dependencies: [python\nname: x\n", r"line 2, column \d+: this is not YAML: "),
        ("a: b: c", "line 1, column 5: this is not YAML"),
        ("dependencies:\n- python\n\tname: x", "line 3"),
        ("name: !!python/object:os.system x", "this is not YAML: could not determine"),
        ("", "does not hold a mapping"),
        ("- python", "does not hold a mapping"),
        (
            "name: x\ndependancies: [python]",
            "line 2: unknown key 'dependancies'; did you mean 'dep",
        ),
        ("frobnicate: 1\ndependencies: [python]", "unknown key 'frobnicate'. The keys of a spec"),
        ("name: x", "lists no dependencies"),
        ("dependencies: python", "'dependencies' must be a list"),
        ("dependencies: [3.9]", "'dependencies' holds 3.9, which is not text"),
        ("dependencies: [python: 3.9]", "only 'pip' may have a list, not 'python'"),
        ("dependencies: [pip: [gym]]", "lists no conda packages"),
        ("dependencies: [python, pip: gym]", "'pip' must be a list"),
        ("dependencies: [python, pip: [-r gone.txt]]", "there is no '.*gone.txt'"),
        ("dependencies: [python]\nchannels: conda-forge", "'channels' must be a list"),
        ("dependencies: [python]\nvariables: [x]", "'variables' must map"),
        ("dependencies: [python]\nvariables: {x: [1]}", "variable 'x' is not text"),
        ("dependencies: [python]\nname: [x]", "'name' must be text"),
    ],
)
def test_says_where_and_what_is_wrong(load, tmp_path, text, says):
    with pytest.raises(SpecError, match=says) as caught:
        load(text)
    assert str(tmp_path / "spec.yml") in str(caught.value)


def test_missing_and_unreadable_files(load, tmp_path):
    with pytest.raises(SpecError, match="There is no spec"):
        spec.load(tmp_path / "gone.yml")
    with pytest.raises(SpecError, match="cannot be read: Is a directory"):
        spec.load(tmp_path)
    (tmp_path / "latin.yml").write_bytes(b"name: \xe9\n")
    with pytest.raises(SpecError, match="not UTF-8"):
        spec.load(tmp_path / "latin.yml")


def test_without_yaml_it_says_what_to_install(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(LauncherError, match=r"pip install 'envring\[conda\]'"):
        load("dependencies: [python]")


def test_priority_of_channels(load):
    plain = load("dependencies: [python]")
    assert plain.priority is None
    assert "channel_priority" not in plain.content()  # prefixes of such specs keep their hash
    found = load("channel_priority: strict\ndependencies: [python]")
    assert found.priority == found.content()["channel_priority"] == "strict"
    assert load("channel_priority: true\ndependencies: [python]").priority == "flexible"
    with pytest.raises(SpecError, match="channel_priority is 'high', but must be one of strict, "):
        load("channel_priority: high\ndependencies: [python]")


def test_keys_of_other_programs_are_passed_over(load):
    text = "platforms: [linux-64, osx-arm64]\ncategory: dev\ndependencies: [python]\n"
    assert load(text).content() == load("dependencies: [python]").content()


def test_selectors_of_micromamba(load):
    found = load("""
dependencies:
  - python
  - sel(linux): one
  - sel(unix): [two, three]
  - sel(osx): four
  - sel(win): five
  - sel(foo): six
""")
    assert found.dependencies == ("python", "one", "two", "three")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "dependencies: [python]\nname: x\ndependencies: [gym]",
            "'dependencies' stands in line 1 and again in line 3: join",
        ),
        ("variables:\n  A: 1\n  A: 2\ndependencies: [python]", "'A' stands in line 2 and .* 3"),
        (
            "dependencies:\n- python\n- pip: [a]\n  pip: [b]",
            "'pip' stands in line 3 and again in line 4",
        ),
    ],
)
def test_keys_that_stand_twice(load, text, says):
    with pytest.raises(SpecError, match=says):
        load(text)


def test_channels_of_the_configuration_are_wanted_or_not(load):
    assert load("dependencies: [python]").configured == "instead"
    assert load("channels: [a]\ndependencies: [python]").configured == "after"
    assert load("channels: [a, nodefaults]\ndependencies: [python]").configured == "never"


URL = "https://conda.anaconda.org/conda-forge/noarch/pip-24.0-pyhd8ed1ab_0.conda"


def test_reads_explicit_lockfiles(load, tmp_path):
    (tmp_path / "mine-1-0.conda").write_bytes(b"")
    head = f"# made by conda\n# platform: {spec.this_platform()}\n@EXPLICIT\n"
    text = f"{head}{URL}#abc\nmine-1-0.conda\n"
    found = load(text, "game.lock")
    assert found.name == "game"
    assert found.explicit == (f"{URL}#abc", (tmp_path / "mine-1-0.conda").as_uri())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("@EXPLICIT\n", "has no packages"),
        ("@EXPLICIT\nnumpy\n", "line 2: 'numpy' is neither the URL of a package nor a file"),
        ("@EXPLICIT\nhttps://x/y.whl\n", "line 2: 'https://x/y.whl' is not a conda package"),
        (f"# platform: osx-arm64\n@EXPLICIT\n{URL}\n", "made for osx-arm64, but this machine is"),
    ],
)
def test_lockfiles_that_cannot_be_used(load, text, says):
    with pytest.raises(SpecError, match=says):
        load(text, "game.lock")


def test_machines_without_conda_packages(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(LauncherError, match="no conda packages for riscv64"):
        spec.this_platform()
