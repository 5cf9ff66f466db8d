# SPDX-License-Identifier: MIT
"""The cache: where it is, what counts as ready, and what removing leaves."""

import os
import sys
import time
from pathlib import Path

import pytest

from envring.errors import SolveError
from envring.prefixes import cache, lock
from prefixes.solving import WITHIN


@pytest.fixture
def entry():
    return cache.entry("game", "0123456789abcdef0123")


def finish(entry):
    program = entry.prefix / "bin/python"
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    entry.publish(cache.Ready(str(entry.prefix), "game", "/spec.yml", None, "conda", "3.9.1"))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ENVRING_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"ENVRING_CACHE": "~/own"}, "/home/me/own"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/envring"),
        ({"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/envring"),
        ({}, "/home/me/.cache/envring"),
    ],
)
def test_place_of_the_cache(monkeypatch, variables, expected):
    for name in ("ENVRING_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache.root() == Path(expected)


def test_is_ready_from_the_marker_on(entry):
    assert entry.ready() is None
    finish(entry)
    assert entry.ready().name == "game"
    assert entry.ready().executable == str(entry.prefix / "bin/python")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "ready": 2}']
)
def test_a_marker_that_says_nothing_is_none(entry, text):
    finish(entry)
    entry.marker.write_text(text)
    assert entry.ready() is None


def test_a_marker_of_another_format_is_none(entry):
    finish(entry)
    entry.marker.write_text(entry.marker.read_text().replace('"format": 1', '"format": 2'))
    assert entry.ready() is None


def test_a_moved_cache_is_not_ready(entry, tmp_path, monkeypatch):
    finish(entry)
    (tmp_path / "cache").rename(tmp_path / "moved")
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / "moved"))
    moved = cache.entry("game", "0123456789abcdef0123")
    assert moved.marker.exists()
    assert moved.ready() is None


def test_a_prefix_without_its_python_is_not_ready(entry):
    finish(entry)
    (entry.prefix / "bin/python").unlink()
    assert entry.ready() is None


def test_states(entry):
    entry.directory.mkdir(parents=True)
    assert entry.state() == "unfinished"
    with lock.hold(entry.lock, time.monotonic() + WITHIN):
        assert entry.state() == "building"
    cache.write_whole(entry.failure, {})
    assert entry.state() == "failed"
    finish(entry)
    assert entry.state() == "ready"


def test_removing_leaves_nothing(entry, tmp_path):
    finish(entry)
    (entry.directory / "activation").mkdir()
    (entry.directory / "activation/x.json").write_text("{}")
    sealed = entry.prefix / "sealed"
    sealed.mkdir()
    (sealed / "file").write_text("")
    sealed.chmod(0o500)
    entry.remove(time.monotonic() + WITHIN)
    assert not entry.directory.exists()


def test_removing_waits_for_a_builder(entry):
    with lock.hold(entry.lock, time.monotonic() + WITHIN), pytest.raises(TimeoutError):
        entry.remove(time.monotonic())


@pytest.mark.parametrize(
    ("name", "slug"), [("a b/c", "a-b-c"), ("../..", "env"), ("ä", "env"), ("x" * 99, "x" * 32)]
)
def test_names_become_file_names(name, slug):
    assert cache.entry(name, "0" * 64).key == f"{slug}-{'0' * 16}"


def test_too_long_a_path_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ENVRING_CACHE", str(tmp_path / ("x" * 250)))
    with pytest.raises(SolveError, match=r"has \d+ bytes.*set ENVRING_CACHE to a shorter"):
        cache.entry("game", "0" * 64)


def test_entries_are_found_by_name_key_and_beginning(entry):
    assert cache.find("game") == [] == list(cache.entries())
    finish(entry)
    finish(cache.entry("game", "fedcba98" * 4))
    finish(cache.entry("gamelan", "0" * 64))
    assert len(list(cache.entries())) == 3
    assert len(cache.find("game")) == 2
    assert (
        cache.find(entry.key) == cache.find(str(entry.prefix)) == cache.find("game-01") == [entry]
    )


def test_a_failing_write_leaves_the_old_text(tmp_path):
    path = tmp_path / "x.json"
    cache.write_whole(path, {"a": 1})
    with pytest.raises(TypeError):
        cache.write_whole(path, {"a": object()})
    assert os.listdir(tmp_path) == ["x.json"]
    assert path.read_text() == '{\n "a": 1\n}'
