# SPDX-License-Identifier: MIT
"""Envs as data, and which worker holds which of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import envring
from envring import EnvSource, Launcher
from envring.launchers.base import Launch, Needs
from envring.pool.placement import choose_launchers, place


@dataclass(frozen=True)
class Somewhere(Launcher):
    """A launcher that only has a name."""

    name: str = ""

    def prepare(self, needs: Needs) -> Launch:
        raise AssertionError("nothing is started here")


A, B = Somewhere(name="a"), Somewhere(name="b")


def slices(placements):
    return [(list(p.env_ids), p.launcher) for p in placements]


@pytest.mark.parametrize("num_envs", [1, 2, 7, 64])
@pytest.mark.parametrize("num_workers", [1, 2, 3, 7])
def test_one_interpreter(num_envs, num_workers):
    num_workers = min(num_workers, num_envs)
    placements = place([A] * num_envs, num_workers, asked=True)
    sizes = [len(p.env_ids) for p in placements]
    assert [e for p in placements for e in p.env_ids] == list(range(num_envs))
    assert len(sizes) == num_workers
    assert max(sizes) - min(sizes) <= 1


def test_no_slice_crosses_interpreters():
    placements = place([A, A, None, B, B, B], 4, asked=True)
    assert slices(placements) == [([0, 1], A), ([2], None), ([3], B), ([4, 5], B)]


def test_more_interpreters_than_cpus_take_more_workers():
    assert len(place([A, B, A], 1, asked=False)) == 3


def test_more_interpreters_than_workers_asked_for():
    with pytest.raises(envring.LauncherError, match="needs 3 workers, but num_workers is 2"):
        place([A, B, A], 2, asked=True)


def test_a_source_s_own_launcher_goes_first():
    fns = [EnvSource("x"), EnvSource("x", launcher=B), EnvSource("x", launcher="prefix:/nowhere")]
    assert choose_launchers(fns, A) == [A, B, envring.Prefix("/nowhere")]


def test_functions_stay_in_this_interpreter():
    assert choose_launchers([lambda: None, EnvSource("x")], None) == [None, None]
    with pytest.raises(envring.EnvFnError, match=r"env_fns\[1\] is .*EnvSource\('CartPole-v1'\)"):
        choose_launchers([EnvSource("x"), lambda: None], A)


def test_num_workers_0_and_a_launcher():
    with pytest.raises(envring.LauncherError, match="num_workers=0"):
        envring.RingVectorEnv([EnvSource("CartPole-v1")], num_workers=0, launcher=A)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"env": ""}, "env must be"),
        ({"env": 3}, "env must be"),
        ({"env": "x", "kwargs": {"a": object()}}, r"kwargs\['a'\] is <object"),
        ({"env": "x", "kwargs": {"a": [1, {"b": np.float32(1)}]}}, r"kwargs\['a'\]\[1\]\['b'\]"),
        ({"env": "x", "kwargs": {"a": {1: 2}}}, r"kwargs\['a'\] has the key 1"),
        ({"env": "x", "args": [{1}]}, r"args\[0\]"),
        ({"env": "x", "imports": "ale_py"}, "imports must be a list"),
        ({"env": "x", "imports": [3]}, "imports must be module names"),
        ({"env": "nowhere.py:make"}, "there is no file .*nowhere.py"),
        ({"env": "nowhere.py"}, "names a file but no function in it"),
        ({"env": __file__ + ":"}, "names no function in that file"),
        ({"env": "x", "setup": "nowhere.py"}, "setup: there is no file"),
    ],
)
def test_what_is_no_source(arguments, says):
    with pytest.raises(envring.SourceError, match=says):
        EnvSource(**arguments)


def test_a_source_travels_as_data():
    here = Path(__file__)
    source = EnvSource(f"{here}:make", args=(1, (2,)), kwargs={"a": None}, setup=here)
    data = source.data(lambda path: "/there" + path)
    assert data == {
        "env": f"/there{here}:make",
        "args": [1, [2]],
        "kwargs": {"a": None},
        "imports": [],
        "setup": f"/there{here}",
        "portal": False,
    }
    assert source.files == (str(here.parent), str(here))
