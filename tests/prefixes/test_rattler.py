# SPDX-License-Identifier: MIT
"""Prefixes by py-rattler, from a channel that is made of the CPythons here, to a running env."""

import json
import os
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

import envring
from envring.errors import SolveError
from envring.launchers.micromamba import SURROUNDINGS, Micromamba
from envring.prefixes import cache
from envring.prefixes.freeze import freeze
from envring.prefixes.spec import this_platform
from support import local_channel


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """One cache of packages for all: they are the same."""
    return tmp_path_factory.mktemp("conda") / "cache"


@pytest.fixture(autouse=True)
def by_rattler(channel, shared_cache, monkeypatch):
    """Nobody else is asked."""
    monkeypatch.setenv("ENVRING_CACHE", str(shared_cache))
    monkeypatch.setenv("PATH", os.defpath)
    yield
    for entry in cache.entries():
        shutil.rmtree(entry.directory)


@pytest.fixture
def launcher(channel, tmp_path):
    """A function that writes a spec."""

    def launcher(packages, pip=(), name="walk", **options):
        lines = [f"name: {name}", f"channels: ['{channel}']", "dependencies:"]
        lines += [f"- {each}" for each in packages]
        if pip:
            lines += ["- pip:", *(f"  - {each}" for each in pip)]
        (tmp_path / "spec.yml").write_text("\n".join(lines))
        return Micromamba(tmp_path / "spec.yml", solver="rattler", **options)

    return launcher


def run(entry, *argv):
    environ = SURROUNDINGS.activated(str(entry.prefix), str(entry.directory))
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("version", local_channel.VERSIONS)
def test_prefix_of_each_python(launcher, version):
    if version not in local_channel.versions():
        pytest.skip(f"there is no Python {version} here: its prefix stays untried")
    entry, ready = launcher([f"python={version}", "corridor"]).obtain()
    assert ready.solver == "rattler"
    assert ready.python.startswith(f"{version}.")
    code = "import sys, corridor; print(sys.prefix); print(corridor.__file__)"
    prefix, module = run(entry, "python", "-c", code).splitlines()
    assert prefix == str(entry.prefix)
    assert module.startswith(f"{entry.prefix}/lib/python{version}/site-packages/")
    assert run(entry, "corridor") == "corridor"


@pytest.fixture
def python():
    """One version of those that are there: the spec's 'python=...'."""
    return f"python={max(local_channel.versions(), key=lambda v: tuple(map(int, v.split('.'))))}"


def test_packages_have_their_paths_scripts_and_variables(launcher, python):
    entry, _ = launcher([python, "corridor"]).obtain()
    code = "import os; print(os.environ['CORRIDOR_HOME']); print(os.environ['CORRIDOR_LIGHT'])"
    home, light = run(entry, "python", "-c", code).splitlines()
    assert home == f"{entry.prefix}/share/corridor"
    assert light == "dim"
    assert (entry.prefix / "share/corridor/prefix.txt").read_text() == f"{entry.prefix}\n"
    assert list((entry.directory / "activation").iterdir())


def test_bytecode_is_there(launcher, python):
    entry, ready = launcher([python, "corridor"]).obtain()
    short = ready.python.rpartition(".")[0]
    compiled = entry.prefix / f"lib/python{short}/site-packages/__pycache__"
    assert list(compiled.glob("corridor.*.pyc"))


def test_progress_tells_of_packages(launcher, python, capsys):
    entry, _ = launcher([python, "corridor"]).obtain()
    log = entry.log.read_text()
    assert f"looking for {python}, corridor" in log
    assert "linking corridor" in log
    assert "installing conda packages" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("packages", "says"),
    [
        (["nonsense"], "No candidates were found for nonsense"),
        (["corridor-future"], "corridor-future 1.0 would require"),
        (["corridor>1"], "No candidates were found for corridor >1"),
        (["corridor==one==two"], "corridor==one==two"),
    ],
)
def test_what_cannot_be_solved(launcher, python, packages, says):
    with pytest.raises(SolveError, match="py-rattler failed with exit code 1") as caught:
        launcher([python, *packages]).obtain()
    assert says in caught.value.tail
    assert says in Path(caught.value.log_path).read_text()


def test_channel_that_is_not_there(tmp_path):
    (tmp_path / "spec.yml").write_text("channels: [./gone]\ndependencies: [python]\n")
    with pytest.raises(SolveError, match="make its channels reachable") as caught:
        Micromamba(tmp_path / "spec.yml").obtain()
    assert f"in channel '{(tmp_path / 'gone').as_uri()}/'" in caught.value.tail


def test_damaged_package(channel, tmp_path, monkeypatch):
    """The hash that the index has is held."""
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / "cache"))
    broken = tmp_path / "broken"
    shutil.copytree(channel.removeprefix("file://"), broken)
    path = broken / local_channel.SUBDIR / "corridor-data-1.0-0.conda"
    path.write_bytes(path.read_bytes()[:-40] + b"x" * 40)
    text = f"channels: ['{broken}']\ndependencies: [corridor-data, python]\n"
    (tmp_path / "spec.yml").write_text(text)
    with pytest.raises(SolveError, match="py-rattler failed") as caught:
        Micromamba(tmp_path / "spec.yml", solver="rattler").obtain()
    assert "corridor-data" in caught.value.tail


def test_channels_by_name_come_from_the_alias(channel, python, tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/conda-forge").symlink_to(channel.removeprefix("file://"))
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", (tmp_path / "mirror").as_uri())
    (tmp_path / "spec.yml").write_text(f"dependencies: ['{python}']\n")
    entry, _ = Micromamba(tmp_path / "spec.yml").obtain()
    assert "/mirror/conda-forge/" in entry.log.read_text()


def wheel(directory, name="trinket"):
    """A wheel, so that pip needs no network."""
    path = directory / f"{name}-1.0-py2.py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "SHINES = True\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py2.py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_pip_section_with_relative_paths(launcher, python, tmp_path):
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels")
    wheel(tmp_path, "bauble")
    (tmp_path / "more.txt").write_text("--no-index\n--find-links ./wheels\ntrinket\n")
    pip = ["-r more.txt", "./bauble-1.0-py2.py3-none-any.whl"]
    entry, _ = launcher([python], pip).obtain()
    code = "import bauble, trinket; print(bauble.SHINES + trinket.SHINES)"
    assert run(entry, "python", "-c", code) == "2"
    frozen = freeze("walk", entry.prefix)
    assert [each.name for each in frozen.pip] == ["bauble", "trinket"]
    assert [each.name for each in frozen.conda if each.name in ("pip", "python")] == [
        "pip",
        "python",
    ]


def test_pip_that_fails(launcher, python):
    with pytest.raises(SolveError, match="pip failed with exit code 1. Fix the pip") as caught:
        launcher([python], ["--no-index", "trinket"]).obtain()
    assert "No matching distribution found for trinket" in caught.value.tail


def test_what_is_frozen_can_be_built_again(launcher, python, tmp_path):
    entry, _ = launcher([python, "corridor"]).obtain()
    frozen = freeze("again", entry.prefix)
    (tmp_path / "frozen.yml").write_text(frozen.environment())
    (tmp_path / "frozen.lock").write_text(frozen.explicit(this_platform()))
    for name in ("frozen.yml", "frozen.lock"):
        again, _ = Micromamba(tmp_path / name, solver="rattler").obtain()
        assert again.prefix != entry.prefix
        assert freeze("again", again.prefix) == frozen
        assert run(again, "corridor") == "corridor"


def test_lockfile_with_a_wrong_checksum(launcher, python, tmp_path, monkeypatch):
    entry, _ = launcher([python, "corridor"]).obtain()
    text = freeze("again", entry.prefix).explicit(this_platform())
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bad.lock").write_text("#".join([text.rpartition("#")[0], "0" * 32]))
    with pytest.raises(SolveError, match="py-rattler failed") as caught:
        Micromamba(tmp_path / "bad.lock", solver="rattler").obtain()
    assert "hash" in caught.value.tail.lower() or "md5" in caught.value.tail.lower()


def test_packages_of_the_prefix_are_not_writable_through_it(launcher, python):
    """Files are links into the cache of packages: a setup file must not spoil those."""
    entry, _ = launcher([python, "corridor"]).obtain()
    shared = entry.prefix / "share/corridor/prefix.txt"
    assert stat.S_ISREG(shared.stat().st_mode)
    assert shared.stat().st_nlink == 1  # rewritten for this prefix


@pytest.fixture
def own():
    """Packages of the version that runs the tests, of which the channel has NumPy."""
    if local_channel.OWN not in local_channel.versions():
        pytest.skip(f"there is no Python {local_channel.OWN} to copy: no env runs in a prefix")
    return [f"python={local_channel.OWN}", "numpy"]


def test_env_of_such_a_prefix(launcher, own):
    """The whole way: a spec, a prefix, a worker, an episode."""
    made = launcher([*own, "corridor"])
    for _ in range(2):  # built, and from the cache
        env = envring.make("corridor:Corridor", launcher=made, length=4)
        try:
            assert env.reset(seed=1) == (0, {})
            walked = [env.step(action) for action in (1, 0, 1, 1, 1)]
        finally:
            env.close()
        assert [step[0] for step in walked] == [1, 0, 1, 2, 3]
        assert walked[-1] == (3, 1.0, True, False, {"at": 3})


def test_vector_env_of_such_a_prefix(launcher, own):
    made = launcher([*own, "corridor"])
    envs = envring.make_vec("corridor:Corridor", num_envs=3, num_workers=2, launcher=made, length=4)
    try:
        observations, _ = envs.reset(seed=1)
        assert observations.tolist() == [0, 0, 0]
        for _ in range(3):
            observations, rewards, terminated, _, infos = envs.step(np.array([1, 0, 1]))
        assert observations.tolist() == infos["at"].tolist() == [3, 0, 3]
        assert terminated.tolist() == [True, False, True]
        assert rewards.tolist() == [1.0, 0.0, 1.0]
    finally:
        envs.close()


def test_record_of_what_was_installed(launcher, python):
    entry, _ = launcher([python, "corridor"]).obtain()
    record = json.loads((entry.prefix / "conda-meta/corridor-1.0-py_0.json").read_text())
    assert record["name"] == "corridor"
    assert (entry.prefix / "conda-meta/history").exists()


def test_env_in_a_sandbox(launcher, own):
    """The prefix is all of the cache that is there, and read-only."""
    if shutil.which("bwrap") is None:
        pytest.skip("there is no bubblewrap here: such a prefix in a sandbox stays untried")
    made = launcher([*own, "corridor"], sandbox=True)
    env = envring.make("corridor:Corridor", launcher=made, length=4)
    try:
        assert env.reset(seed=1) == (0, {})
        assert env.step(1) == (1, 0.0, False, False, {"at": 1})
    finally:
        env.close()
