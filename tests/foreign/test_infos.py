# SPDX-License-Identifier: MIT
"""Infos with objects: arrays of them, standard classes with a plain form, and classes without."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from envring import EnvSource, Python, RemoteEnvError, RingEnv, RingVectorEnv
from envring.testing.conformance_base import quiet

FILE = Path(__file__).with_name("plain_infos.py")
VERSIONS = ("2.7", "3.8", "3.13")


def source(name: str) -> EnvSource:
    return EnvSource(f"{FILE}:{name}")


@pytest.mark.parametrize("version", VERSIONS)
def test_arrays_of_objects(version, foreign_python):
    """As the infos of a vector env of one, when its episode ends."""
    launcher = Python(foreign_python(version))
    env = RingEnv(source("VectorOfOne"), launcher=launcher)
    try:
        env.reset()
        for _ in range(2):
            assert env.step(0)[4]["lives"].tolist() == [2]
        info = env.step(0)[4]
        (observation,) = info["final_observation"]
        assert observation.tolist() == [0, 1, 2]
        assert info["_final_observation"].tolist() == [True]
        (final,) = info["final_info"]
        assert final["lives"] == 2
        assert final["of"].dtype == object
        assert final["of"].tolist() == [None, (1, "a")]
        assert info["grid"].dtype == object
        assert info["grid"].tolist() == [[1, None], [2.5, "x"]]
    finally:
        env.close()
    envs = RingVectorEnv([source("VectorOfOne")] * 2, launcher=launcher, num_workers=2)
    try:
        envs.reset()
        for _ in range(2):
            envs.step([0, 0])
        assert envs.step([0, 0])[4]["grid"][1].tolist() == [[1, None], [2.5, "x"]]
    finally:
        envs.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_standard_classes_arrive_as_plain_data(version, foreign_python):
    env = RingEnv(source("Classes"), launcher=Python(foreign_python(version)))
    try:
        env.reset()
        for _ in range(3):
            info = env.step(0)[4]
            assert info["range"] == [2, 4, 6]
            assert info["deque"] == [1, (2,)]
            if version == "2.7":
                continue
            assert info["enum"] == ["red", (1, "two")]
            assert info["place"] == {"x": 1, "color": "red", "path": "/tmp/a"}
            assert info["keys"] == {"red": {"red", 2}, "b": 3}
            assert info["array"].tolist() == ["red", [(1, "two")]]
    finally:
        env.close()


@pytest.mark.parametrize("loop", ["compiled", "reference"])
@pytest.mark.parametrize("version", VERSIONS)
def test_other_objects_left_out(version, loop, foreign_python):
    """With the item of the innermost dict that holds them."""
    options = {"launcher": Python(foreign_python(version)), "step_loop": loop}
    env = RingEnv(source("Things"), on_unsendable="drop", **options)
    try:
        env.reset()
        for _ in range(3):
            assert env.step(0)[4] == {"a": 1, "in": {"b": 2.5}}
            whole = {"a": 1, "thing": "text", "in": {"b": 2.5, "thing": None}, "list": [1, 2]}
            assert env.step(1)[4] == whole
            assert env.step(2)[4] == {"a": 1, "keys": {"b": 2}}
            assert env.step(3)[4] == {"a": 1, "looped": {"a": 1}}
        with quiet(), pytest.raises(RemoteEnvError, match="result: .* cannot be sent"):
            env.get_wrapper_attr("thing")()
    finally:
        env.close()


def test_objects_left_out_are_absent_in_a_batch(foreign_python):
    launcher = Python(foreign_python("3.8"))
    envs = RingVectorEnv(
        [source("Things")] * 2, launcher=launcher, autoreset_mode="SameStep", on_unsendable="drop"
    )
    try:
        envs.reset()
        for _ in range(2):
            infos = envs.step([0, 1])[4]
            assert infos["a"].tolist() == [1, 1]
            assert infos["_thing"].tolist() == [False, True]
            assert infos["thing"].tolist() == [None, "text"]
        infos = envs.step([0, 1])[4]
        assert infos["final_info"]["_thing"].tolist() == [False, True]
        assert list(infos["final_obs"]) == [3, 3]
    finally:
        envs.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_other_objects_as_their_repr(version, foreign_python):
    launcher = Python(foreign_python(version))
    env = RingEnv(source("Things"), launcher=launcher, on_unsendable="repr")
    try:
        env.reset()
        for _ in range(3):
            assert env.step(0)[4] == {
                "a": 1,
                "thing": "Thing!",
                "in": {"b": 2.5, "thing": "Thing!"},
                "list": [1, "Thing!"],
            }
            info = env.step(2)[4]
            assert info["keys"] == {"b": 2, "Thing!": 3}
            assert info["array"].tolist() == [1, "Thing!"]
            assert env.step(3)[4]["looped"] == {"a": 1, "self": "{'a': 1, 'self': {...}}"} or (
                version == "2.7"  # whose dicts have an order of their own
            )
    finally:
        env.close()


def test_other_objects_refused_by_their_place(foreign_python):
    launcher = Python(foreign_python("3.8"))
    places = [r"info\['thing'\]: <class", r"info\['keys'\]: its key", r"info\['looped'\].*holds"]
    for action, place in zip((0, 2, 3), places, strict=True):
        env = RingEnv(source("Things"), launcher=launcher)
        try:
            env.reset()
            with quiet(), pytest.raises(RemoteEnvError, match=place):
                env.step(action)
        finally:
            env.close()


def test_what_becomes_of_other_objects_is_one_of_three():
    for make, given in itertools.product((RingEnv, RingVectorEnv), ("ignore", None)):
        env_fns = source("Things") if make is RingEnv else [source("Things")]
        with pytest.raises(ValueError, match="on_unsendable must be 'raise', 'drop' or 'repr'"):
            make(env_fns, on_unsendable=given)


def test_objects_of_the_caller_cross_too(foreign_python):
    """Arrays of objects as arguments of calls."""
    env = RingEnv(source("VectorOfOne"), launcher=Python(foreign_python("3.8")))
    try:
        given = np.array([[None, "a"]], object)
        env.set_wrapper_attr("kept", given)
        kept = env.get_wrapper_attr("kept")
        assert kept.shape == (1, 2)
        assert kept.tolist() == [[None, "a"]]
    finally:
        env.close()
