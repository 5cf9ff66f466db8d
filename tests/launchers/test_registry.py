# SPDX-License-Identifier: MIT
"""Launchers by name, and those that other packages add."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from envring.errors import LauncherError, SpecError
from envring.launchers import registry
from envring.launchers.base import Launch, Launcher, Needs
from envring.launchers.docker import Docker
from envring.launchers.micromamba import Micromamba
from envring.launchers.prefix import Prefix, Python
from envring.launchers.registry import resolve
from envring.launchers.uv import Uv
from envring.prefixes import cache

MODULE = """
from dataclasses import dataclass
from envring.errors import InterpreterError
from envring.launchers.base import Launch, Launcher

@dataclass(frozen=True)
class Cluster(Launcher):
    node: str
    def prepare(self, needs):
        return Launch((self.node,), {}, "cluster")

def refuses(text):
    raise KeyError(text)

def knows_better(text):
    raise InterpreterError("that node is down")

def makes_nothing(text):
    return None
"""


@dataclass(frozen=True)
class Own(Launcher):
    """A launcher of somebody else's."""

    def prepare(self, needs: Needs) -> Launch:
        return Launch(("own",), {}, "own")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Adds a package with entry points, as an installer would."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "cluster_launchers.py").write_text(MODULE)
    (site / "broken_launchers.py").write_text("import nothing_like_this")
    monkeypatch.syspath_prepend(str(site))

    def install(package, **points):
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[envring.launchers]", *lines, ""]))

    yield install
    for name in ("cluster_launchers", "broken_launchers"):
        sys.modules.pop(name, None)


def refusal(given):
    with pytest.raises(LauncherError) as caught:
        resolve(given)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


@pytest.mark.parametrize("given", [None, Prefix("/a"), Own(sandbox=True)])
def test_what_is_a_launcher_already_stays(given):
    assert resolve(given) is given


@pytest.mark.parametrize(
    ("text", "launcher"),
    [
        ("prefix:/opt/game", Prefix("/opt/game")),
        ("prefix:/odd:path", Prefix("/odd:path")),
        ("python:python3.9", Python("python3.9")),
        ("python:/usr/bin/python3", Python("/usr/bin/python3")),
        ("micromamba:/a/spec.yml", Micromamba("/a/spec.yml")),
        ("uv:/a/requirements.txt", Uv("/a/requirements.txt")),
        ("uv:/a/env_main.py", Uv("/a/env_main.py")),
        ("docker:ghcr.io/me/game:1.2", Docker("ghcr.io/me/game:1.2")),
    ],
)
def test_strings(text, launcher):
    assert resolve(text) == launcher


def test_relative_paths_belong_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve("prefix:game") == Prefix(tmp_path / "game")
    assert resolve("prefix:~/game") == Prefix(Path.home() / "game")


@pytest.mark.parametrize("text", ["", "game", "/opt/x", "./a:b", "C:\\Python39\\python.exe"])
def test_strings_that_name_none_list_what_there_is(text):
    message = refusal(text)
    for scheme in ("prefix:PATH", "python:EXECUTABLE", "micromamba:spec.yml", "uv:", "docker:"):
        assert f"\n  {scheme}" in message


def test_an_unknown_scheme():
    assert refusal("singularity:x.sif").startswith('There is no launcher "singularity".\n')


def test_a_misspelt_scheme():
    assert 'There is no launcher "prefx". Did you mean "prefix:/x"?' in refusal("prefx:/x")


@pytest.mark.parametrize("scheme", ["prefix", "python", "micromamba", "uv", "docker"])
@pytest.mark.parametrize("rest", ["", " "])
def test_a_scheme_and_nothing_else(scheme, rest):
    assert "has nothing after the colon: write" in refusal(f"{scheme}:{rest}")


@pytest.mark.parametrize("given", [3, b"prefix:/x", ["prefix:/x"], object(), lambda: None])
def test_what_is_no_launcher(given):
    assert refusal(given).startswith("A launcher must be a Launcher, a string or None, not ")


def test_a_class_where_a_launcher_should_be():
    assert refusal(Prefix) == "Prefix is a launcher class: pass an instance, Prefix(...)."


def test_paths_are_told_their_scheme(tmp_path):
    (tmp_path / "python").touch(mode=0o755)
    for given in (tmp_path, str(tmp_path)):
        assert f'Did you mean "prefix:{tmp_path}"?' in refusal(given)
    assert f'Did you mean "python:{tmp_path}/python"?' in refusal(tmp_path / "python")
    assert 'Did you mean "micromamba:spec.yml"?' in refusal("spec.yml")
    assert 'Did you mean "uv:requirements.txt"?' in refusal("requirements.txt")


def test_a_package_adds_a_launcher(installed):
    installed("cluster", cluster="cluster_launchers:Cluster")
    launcher = resolve("cluster:node7")
    assert launcher.prepare(Needs()).argv == ("node7",)
    assert resolve("cluster:node7") == launcher
    assert "\n  cluster:... (of cluster)" in registry.known()


def test_a_misspelt_scheme_of_a_package(installed):
    installed("cluster", cluster="cluster_launchers:Cluster")
    assert 'Did you mean "cluster:node7"?' in refusal("clustre:node7")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("broken_launchers:Make", "cannot be imported: ModuleNotFoundError: No module named"),
        ("cluster_launchers:missing", "cannot be imported: AttributeError"),
        ("cluster_launchers:refuses", "rejected 'node7': KeyError: 'node7'"),
        ("cluster_launchers:makes_nothing", "returned None, which is not an envring Launcher"),
    ],
)
def test_a_package_s_launcher_that_fails_is_named(installed, value, words):
    installed("cluster", cluster=value)
    message = refusal("cluster:node7")
    assert message.startswith(f'The launcher "cluster" ({value}, of cluster) ') and words in message


def test_a_package_s_own_error_is_the_package_s(installed):
    installed("cluster", cluster="cluster_launchers:knows_better")
    with pytest.raises(Exception, match=r"^that node is down$") as caught:
        resolve("cluster:node7")
    assert type(caught.value).__name__ == "InterpreterError"


def test_a_broken_package_does_not_hinder_the_others(installed):
    installed("broken", broken="broken_launchers:Make")
    installed("cluster", cluster="cluster_launchers:Cluster")
    assert resolve("cluster:node7").node == "node7"
    assert resolve("prefix:/x") == Prefix("/x")


def test_no_package_takes_a_name_of_ours(installed):
    installed("thief", prefix="cluster_launchers:Cluster")
    assert resolve("prefix:/x") == Prefix("/x")
    assert "of thief" not in registry.known()


def test_two_packages_with_the_same_name_are_told_apart_by_the_user(installed):
    installed("cluster", cluster="cluster_launchers:Cluster")
    installed("other", cluster="cluster_launchers:refuses")
    message = refusal("cluster:node7")
    assert 'Several packages add a launcher "cluster": cluster, other.' in message


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A function that puts a prefix into the cache."""
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def cached(name, digest, ready=True):
        entry = cache.entry(name, digest)
        (entry.prefix / "bin").mkdir(parents=True)
        (entry.prefix / "bin/python").symlink_to(sys.executable)
        if ready:
            entry.publish(cache.Ready(str(entry.prefix), name, "spec.yml", None, "conda", "3.9"))
        return entry

    return cached


def test_a_cached_prefix_by_its_name(cached, tmp_path):
    entry = cached("old-gym", "a" * 16)
    assert resolve("prefix:old-gym") == Prefix(entry.prefix)
    assert resolve(f"prefix:{entry.key}") == Prefix(entry.prefix)
    assert resolve("prefix:old") == Prefix(tmp_path / "old")
    (tmp_path / "old-gym").mkdir()  # a path that exists is meant
    assert resolve("prefix:old-gym") == Prefix(tmp_path / "old-gym")
    assert resolve("prefix:./old-gym") == Prefix(tmp_path / "old-gym")


def test_a_cached_prefix_that_is_not_clear(cached):
    cached("game", "a" * 16)
    entry = cached("game", "b" * 16)
    assert "matches several prefixes of the cache: game-a" in refusal("prefix:game")
    assert resolve(f"prefix:{entry.key}") == Prefix(entry.prefix)
    cached("half", "c" * 16, ready=False)
    assert "half-cccccccccccccccc is not ready: its state is unfinished" in refusal("prefix:half")


def test_directories_and_recipes_are_launchers(tmp_path):
    ale = resolve("recipe:ale")
    assert ale == resolve("recipe:atari") and ale.portal
    assert ale.spec.endswith("/recipes/ale/spec.yml")
    (tmp_path / "spec.yml").write_text("dependencies: [python]")
    assert resolve(f"dir:{tmp_path}") == Micromamba(tmp_path / "spec.yml", portal=True)
    with pytest.raises(SpecError, match="no recipe 'doom'"):
        resolve("recipe:doom")
