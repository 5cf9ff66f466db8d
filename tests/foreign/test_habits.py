# SPDX-License-Identifier: MIT
"""What packages do that no interface says: it works in another interpreter all the same."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from envring import EnvFnError, EnvSource, Python, RemoteEnvError, RingEnv, RingVectorEnv
from envring.batch.space_data import UnknownSpace
from envring.errors import SpaceDataError
from envring.testing.conformance_base import quiet
from foreign.home import in_order

FILE = Path(__file__).with_name("plain_habits.py")
VERSIONS = ("2.7", "3.8", "3.13")


def source(name: str) -> EnvSource:
    return EnvSource(f"{FILE}:{name}")


@pytest.mark.parametrize("version", VERSIONS)
def test_spaces_of_the_envs_own(version, foreign_python):
    launcher = Python(foreign_python(version))
    env = RingEnv(source("Missions"), launcher=launcher)
    try:
        assert env.observation_space["mission"] == UnknownSpace("plain_habits.Mission")
        observation, _ = env.reset(seed=3)
        assert observation == {"mission": "go to 3"}
        assert env.observation_space.contains(observation)
        assert env.step(0)[0] == {"mission": "go on 1"}
        with pytest.raises(SpaceDataError, match=r"plain_habits\.Mission"):
            env.observation_space.sample()
    finally:
        env.close()
    envs = RingVectorEnv(
        [source("Missions")] * 2, launcher=launcher, num_workers=2, autoreset_mode="SameStep"
    )
    try:
        assert envs.reset(seed=[5, 6])[0] == {"mission": ("go to 5", "go to 6")}
        assert envs.step([0, 1])[0] == {"mission": ("go on 1", "go on 1")}
        observations, _, terminations, _, infos = envs.step([0, 1])
        assert terminations.all()
        assert observations == {"mission": ("go to 0", "go to 0")}
        assert list(infos["final_obs"]) == [{"mission": "go on 2"}] * 2
    finally:
        envs.close()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("Commands", r"action space\['command'\]"),
        ("Alone", "observation space"),
        ("Several", r"observation space\['missions'\]\['...'\]"),
    ],
)
def test_spaces_of_the_envs_own_elsewhere(name, place, foreign_python):
    with pytest.raises(SpaceDataError, match=place + r": a plain_habits\.Mission cannot be"):
        RingEnv(source(name), launcher=Python(foreign_python("3.8")))


INFO = {"status": 3, "where": {"point": (1, 2), "seen": ["a"]}, "counts": {"a": 1}}


@pytest.mark.parametrize("version", VERSIONS)
def test_infos_in_classes_of_the_envs_own(version, foreign_python):
    """They come as the plain values that they are, however often; what is none is named."""
    launcher = Python(foreign_python(version))
    env = RingEnv(source("Classes"), launcher=launcher)
    try:
        env.reset()
        for _ in range(3):
            assert repr(in_order(env.step(0)[4])) == repr(in_order(INFO))
        assert repr(env.get_wrapper_attr("at")) == "(1, 2)"
        with (
            quiet(),
            pytest.raises(RemoteEnvError, match=r"info\['status'\]: .* cannot be sent"),
        ):
            env.step(1)
    finally:
        env.close()
    envs = RingVectorEnv([source("Classes")] * 2, launcher=launcher, autoreset_mode="SameStep")
    try:
        envs.reset()
        for _ in range(2):
            assert list(envs.step([0, 0])[4]["status"]) == [3, 3]
        infos = envs.step([0, 0])[4]
        assert infos["final_info"]["where"]["point"].tolist() == [(1, 2), (1, 2)]
    finally:
        envs.close()


@pytest.mark.parametrize("loop", ["compiled", "reference"])
@pytest.mark.parametrize("version", VERSIONS)
def test_exceptions_that_are_not_of_class_exception(version, loop, foreign_python):
    """They are the env's, and its worker goes on."""
    launcher = Python(foreign_python(version))
    envs = RingVectorEnv(
        [source("Interrupted")] * 3, launcher=launcher, num_workers=2, step_loop=loop
    )
    try:
        envs.reset()
        for _ in range(100):  # until steps go through C
            envs.step([0, 0, 0])
        with quiet(), pytest.raises(RemoteEnvError, match="at step 101") as caught:
            envs.step([0, 1, 0])
        assert caught.value.remote_type.endswith("Cancelled")
        assert envs.step([0, 0, 0])[0].tolist() == [102] * 3
    finally:
        envs.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_one_env_in_several_slots(version, foreign_python):
    """It would be stepped for each of them, and nobody would see it."""
    launcher = Python(foreign_python(version))
    with pytest.raises(EnvFnError, match="env 1 and env 2 return the same env object"):
        RingVectorEnv(
            [source("Interrupted"), source("shared"), source("shared")],
            launcher=launcher,
            num_workers=1,
        )
    envs = RingVectorEnv([source("shared")] * 2, launcher=launcher, num_workers=2)
    envs.close()


def test_modules_are_spared_by_the_collector_and_envs_are_not():
    """A worker ends much quicker so; envs may have to be collected, and callers are not ours."""
    sources = [EnvSource(f"{FILE.with_name('plain_collected.py')}:Collected")] * 2
    before = gc.get_freeze_count()
    envs = RingVectorEnv(sources, launcher=Python(sys.executable))
    assert min(envs.call("spared")) > 5_000
    assert not any(envs.call("is_spared"))
    envs.close()
    here = RingVectorEnv(sources, num_workers=0)
    assert max(here.call("spared")) <= before
    here.close()
