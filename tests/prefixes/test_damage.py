# SPDX-License-Identifier: MIT
"""Packages that were damaged in the cache: fetched again, once."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from envring.cli.commands import command
from envring.errors import SolveError
from envring.launchers.micromamba import Micromamba
from envring.prefixes import cache, packages
from prefixes import small
from prefixes.small import package


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    home = tmp_path_factory.mktemp("damage") / "mirror"
    small.make(home, conda_forge=(*small.pythons(), package("tool", "1.0"), package("part", "2.0")))
    return home


@pytest.fixture
def kept(mirror, monkeypatch, tmp_path, own_cache):
    """A cache of packages that has been used; returns the file of one."""
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", mirror.as_uri())
    build("[python=3.9, tool, part]", tmp_path)
    return own_cache / "packages/tool-1.0-0/share/tool/version"


def build(packages, tmp_path):
    path = tmp_path / "spec.yml"
    path.write_text(f"name: game\ndependencies: {packages}\n")
    return Micromamba(path, solver="rattler").obtain()[0]


def test_missing_file_of_a_package(kept, tmp_path):
    kept.unlink()
    entry = build("[python=3.8, tool]", tmp_path)
    assert (entry.prefix / "share/tool/version").read_text() == "1.0"
    assert "fetched again: tool-1.0-0" in entry.log.read_text()
    build("[python=3.10, tool]", tmp_path)


def test_package_that_is_being_unpacked(kept, tmp_path):
    package = kept.parents[2]
    unpacked = package.with_name(f".{package.name}-0EkmTAl")
    shutil.copytree(package, unpacked)
    (unpacked / "share/tool/version").unlink()
    kept.unlink()
    entry = build("[python=3.8, tool]", tmp_path)
    assert "fetched again: tool-1.0-0\n" in entry.log.read_text()
    assert unpacked.exists()


def test_file_list_of_a_package(kept, tmp_path):
    (kept.parents[2] / "info/paths.json").write_text("{")
    kept.unlink()
    entry = build("[python=3.8, tool]", tmp_path)
    assert (entry.prefix / "share/tool/version").read_text() == "1.0"


@pytest.mark.parametrize("text", ["x", "1.1"])
def test_a_build_that_fails_because_of_a_changed_file(kept, tmp_path, text):
    """The installer does not notice; the setup file does. Sizes may be equal."""
    kept.unlink()  # prefixes have links to it
    kept.write_text(text)
    setup = tmp_path / "setup.py"
    setup.write_text(
        "import os\n"
        "assert open(os.environ['CONDA_PREFIX'] + '/share/tool/version').read() == '1.0'\n"
    )
    path = tmp_path / "spec.yml"
    path.write_text("dependencies: [python=3.8, tool]\n")
    entry, _ = Micromamba(path, setup=setup, solver="rattler").obtain()
    assert (entry.prefix / "share/tool/version").read_text() == "1.0"


def test_a_failure_of_another_kind_is_not_repeated(kept, tmp_path):
    setup = tmp_path / "setup.py"
    setup.write_text("open('runs', 'a').write('x')\nraise SystemExit(3)\n")
    path = tmp_path / "spec.yml"
    path.write_text("dependencies: [python=3.8, tool]\n")
    with pytest.raises(SolveError, match="exit code 3"):
        Micromamba(path, setup=setup, solver="rattler").obtain()
    assert (tmp_path / "runs").read_text() == "x"


def test_force_compares_the_packages(kept, tmp_path):
    kept.unlink()
    kept.write_text("1.1")  # the same size
    (tmp_path / "spec.yml").write_text("dependencies: [python=3.8, tool]\n")
    argv = ["env", "create", "--solver", "rattler", "-q", "-f", str(tmp_path / "spec.yml")]
    damaged = CliRunner().invoke(command, argv, catch_exceptions=False).stdout.strip()
    file = Path(damaged, "share/tool/version")
    assert file.read_text() == "1.1"
    result = CliRunner().invoke(command, [*argv, "--force"], catch_exceptions=False)
    assert result.stdout.strip() == damaged
    assert file.read_text() == "1.0"


def test_clean_leaves_the_prefixes(kept, tmp_path, mirror):
    (entry,) = cache.entries()
    with pytest.raises(SolveError):
        build("[python=3.9, nothing]", tmp_path)
    result = CliRunner().invoke(command, ["env", "clean"], catch_exceptions=False)
    assert "freed " in result.stderr
    assert not packages.directories()["rattler"].exists()
    assert list(cache.entries()) == [entry]
    assert (entry.prefix / "share/tool/version").read_text() == "1.0"
    shutil.rmtree(tmp_path / "cache/envs")
    build("[python=3.9, tool]", tmp_path)


def test_clean_waits_for_nobody(kept):
    from envring.prefixes import lock

    (entry,) = cache.entries()
    entry.marker.unlink()
    with lock.hold(entry.lock, 0):
        result = CliRunner().invoke(command, ["env", "clean"])
    assert "is being built" in result.stderr
    assert kept.exists()


def test_packages_of_micromamba(own_cache):
    """The same form, with archives beside them."""
    home = own_cache / "micromamba/pkgs/x-1-0"
    (home / "info").mkdir(parents=True)
    (home / "info/index.json").write_text("{}")
    (home / "info/paths.json").write_text(
        '{"paths": [{"_path": "a", "path_type": "hardlink", "size_in_bytes": 1}]}'
    )
    (home.parent / "x-1-0.conda").write_text("")
    (home / "a").write_text("1")
    assert packages.drop_damaged("micromamba", lambda name: True) == []
    (home / "a").write_text("12")
    assert packages.drop_damaged("conda", lambda name: True) == []
    assert packages.drop_damaged("micromamba", lambda name: False) == ["x-1-0"]
    assert list(home.parent.iterdir()) == []
