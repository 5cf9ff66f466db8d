# SPDX-License-Identifier: MIT
"""TianshouVectorEnv keeps each line of what BaseVectorEnv promises, wherever its envs run."""

import pickle
import signal
import sys
import threading
import time
from copy import deepcopy
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from tianshou.env import BaseVectorEnv, VectorEnvNormObs

from ecosystem import told_envs
from ecosystem.told_envs import Slow, Told, told
from envring import ActionError, EnvFnError, EnvSource
from envring.adapters.tianshou import TianshouVectorEnv
from support.hosts import running

ENVS = f"{Path(told_envs.__file__)}:wrapped"
PREFIX = f"prefix:{sys.prefix}"


@pytest.fixture(scope="module")
def host():
    with running(ENVS, "--num-envs", "64") as host:
        yield host.url


@pytest.fixture(scope="module", params=["local", "inline", "interpreter", "host"])
def envs(request):
    """Four envs that tell what they are given."""
    if request.param in ("local", "inline"):
        made = TianshouVectorEnv(told(4), num_workers=2 if request.param == "local" else 0)
    else:
        sources = [EnvSource(ENVS, args=(rank,)) for rank in range(4)]
        where = {"launcher": PREFIX, "num_workers": 2}
        if request.param == "host":
            where = {"remotes": request.getfixturevalue("host")}
        made = TianshouVectorEnv(sources, on_unsendable="repr", **where)
    yield made
    made.close()


def test_it_is_one(envs):
    assert isinstance(envs, BaseVectorEnv)
    assert not isinstance(envs, gym.vector.VectorEnv)
    assert len(envs) == envs.env_num == envs.wait_num == 4
    assert not envs.is_async and envs.timeout is None
    assert envs.waiting_id == [] and envs.ready_id == [0, 1, 2, 3]
    assert envs.action_space == [Told().action_space] * 4
    assert envs.observation_space == [Told().observation_space] * 4
    assert [each["render_modes"] for each in envs.metadata] == [["rgb_array"]] * 4
    assert envs.vector_env.num_envs == 4


def test_reset(envs):
    observations, infos = envs.reset(seed=5)
    assert observations.shape == (4, 3) and observations.dtype == np.float32
    assert infos.shape == (4,) and infos.dtype == object
    assert [info["seed"] for info in infos] == [5] * 4  # as given, to each env
    assert (observations == observations[0]).all()
    assert [info["options"] for info in envs.reset(options={"a": 1})[1]] == [{"a": 1}] * 4
    some, infos = envs.reset([3, 1], seed=5)
    assert (some == observations[:2]).all()
    assert [info["seed"] for info in infos] == [5, 5]
    assert envs.get_env_attr("steps") == [0] * 4
    assert envs.reset(2)[0].shape == (1, 3)
    assert all(info["seed"] is info["options"] is None for info in envs.reset()[1])
    with pytest.raises(TypeError, match="return_info"):
        envs.reset(return_info=True)


def test_step_of_some_in_any_order(envs):
    envs.reset(seed=1)
    for ids in ([0, 1, 2, 3], [3, 0], np.array([2, 1, 3]), 2, [-1], np.int64(0), range(1, 3)):
        named = [ids] if np.isscalar(ids) else list(ids)
        envs.reset(ids)
        before = envs.get_env_attr("steps")
        actions = np.arange(len(named)) % 5
        observations, rewards, terminations, truncations, infos = envs.step(actions, ids)
        assert observations.shape == (len(named), 3)
        assert rewards.dtype == np.float64 and rewards.shape == (len(named),)
        assert terminations.dtype == truncations.dtype == bool
        assert terminations.shape == truncations.shape == infos.shape == (len(named),)
        assert [info["env_id"] for info in infos] == named
        changed = {range(4)[i] for i in named}
        wanted = [n + 1 if i in changed else n for i, n in enumerate(before)]
        assert envs.get_env_attr("steps") == wanted
        assert envs.get_env_attr("given", ids) == [["int64", f"np.int64({a})"] for a in actions]


def test_step_after_the_end_is_the_envs_affair(envs):
    envs.reset(seed=3)
    for _ in range(12):  # episodes have 8 steps at most
        results = envs.step(np.zeros(4, int))
    assert (results[2] | results[3]).all()
    assert envs.get_env_attr("steps") == [12] * 4


@pytest.mark.parametrize("ids", [None, [2, 0, 3, 1], [1, 2]])
def test_actions_arrive_as_they_are(envs, ids):
    envs.reset()
    count = 4 if ids is None else len(ids)
    for actions, name in (
        (np.ones(count, np.int32), "int32"),
        ([1] * count, "int"),
        (tuple(np.ones(count, np.int8)), "int8"),
        (np.ones(count), "float64"),
    ):
        envs.step(actions, ids)
        assert {each[0] for each in envs.get_env_attr("given", ids)} == {name}


def test_wrong_calls(envs):
    envs.reset()
    for actions, ids in ((np.zeros(3, int), None), (np.zeros(3, int), [1, 2]), ([], [1])):
        with pytest.raises(AssertionError, match="actions for"):
            envs.step(actions, ids)
    with pytest.raises(ValueError, match="Actions are needed"):
        envs.step(None)
    with pytest.raises(IndexError):
        envs.step([1], [4])
    with pytest.raises(ValueError, match="different indices"):
        envs.step([1, 1], [2, 2])
    for wrong in (0, 5):
        with pytest.raises(AssertionError, match="wait_num"):
            TianshouVectorEnv(told(4), wait_num=wrong, num_workers=0)
    with pytest.raises(AssertionError, match="timeout"):
        TianshouVectorEnv(told(4), timeout=0, num_workers=0)
    envs.step(np.zeros(4, int))


def test_seed(envs):
    assert envs.seed(5) == [[5], [6], [7], [8]]
    assert envs.get_env_attr("np_random_seed") == [5, 6, 7, 8]
    sampled = [space.sample() for space in envs.action_space]
    first = envs.step(np.zeros(4, int))[0]
    assert envs.seed([5, 6, 7, 8]) == [[5], [6], [7], [8]]
    assert [space.sample() for space in envs.action_space] == sampled
    assert (envs.step(np.zeros(4, int))[0] == first).all()
    assert envs.seed(None) == envs.seed() == [[None]] * 4
    with pytest.raises(ValueError, match="length"):
        envs.seed([1])


def test_seed_is_of_the_space_in_the_worker():
    envs = TianshouVectorEnv(told(3), num_workers=2)
    envs.seed(3)
    there = envs._envs.ask("get:action_space", None)
    assert [a.sample() for a in there] == [a.sample() for a in envs.action_space]
    envs.close()


def test_attributes(envs):
    assert envs.get_env_attr("rank") == [0, 1, 2, 3]
    assert envs.get_env_attr("rank", 2) == [2]
    assert envs.get_env_attr("rank", np.array([3, 1])) == [3, 1]
    envs.set_env_attr("level", 7, [1, 2])
    assert envs.get_env_attr("level") == [0, 7, 7, 0]
    envs.set_env_attr("level", 0)
    assert envs.get_env_attr("level") == [0] * 4
    envs.set_env_attr("quite_new", "x", 3)
    assert envs.get_env_attr("quite_new", 3) == ["x"]
    with pytest.raises(Exception, match="no attribute|has no"):
        envs.get_env_attr("no_such_name")


def test_render(envs):
    assert [frame[0, 0, 0] for frame in envs.render()] == [0, 1, 2, 3]


def test_each_env_has_spaces_of_its_own():
    def make(high):
        env = Told()
        env.observation_space = spaces.Box(-high, high, (3,), np.float32)
        return env

    envs = TianshouVectorEnv([partial(make, 1), partial(make, 2)], num_workers=1)
    assert [space.high[0] for space in envs.observation_space] == [1, 2]
    assert envs.get_env_attr("observation_space", 1)[0].high[0] == 2
    assert len({id(space) for space in envs.action_space}) == 2
    envs.close()


def test_what_is_refused():
    def vectors():
        return gym.vector.SyncVectorEnv(told(1), autoreset_mode="Disabled")

    with pytest.raises(EnvFnError, match="single envs"):
        TianshouVectorEnv([vectors], num_workers=0)

    def tuples():
        env = Told()
        env.observation_space = spaces.Tuple([env.observation_space])
        return env

    with pytest.raises(TypeError, match="tuples"):
        TianshouVectorEnv([tuples], num_workers=1)


def test_after_close():
    envs = TianshouVectorEnv(told(2), num_workers=1)
    envs.reset()
    envs.close()
    envs.close()
    assert envs.is_closed
    for call in (envs.reset, envs.seed, envs.render, partial(envs.step, [1, 1])):
        with pytest.raises(AssertionError, match="close"):
            call()
    with pytest.raises(AssertionError, match="close"):
        envs.get_env_attr("rank")
    for copied in (deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="A TianshouVectorEnv cannot be copied or pickled"):
            copied(envs)


def test_normalised_observations():
    envs = VectorEnvNormObs(TianshouVectorEnv(told(3), num_workers=1))
    observations, _ = envs.reset(seed=1)
    assert np.abs(observations).max() < 1e-3  # equal, so all at the mean
    assert envs.step([1, 1], [0, 2])[0].shape == (2, 3)
    assert envs.get_env_attr("rank") == [0, 1, 2]
    envs.close()


# -- envs that do not wait for each other -------------------------------------------------------


def test_wait_num():
    envs = TianshouVectorEnv([Slow] * 4, wait_num=2, num_workers=4)
    assert envs.is_async and envs.wait_num == 2
    envs.reset()
    began = time.monotonic()
    _, rewards, _, _, infos = envs.step(np.array([0, 60, 0, 60.0]))
    assert time.monotonic() - began < 30
    assert [info["env_id"] for info in infos] == [0, 2] and rewards.tolist() == [0, 0]
    assert envs.waiting_id == [1, 3] and sorted(envs.ready_id) == [0, 2]
    with pytest.raises(AssertionError, match="stepping"):
        envs.step([0], [1])
    with pytest.raises(AssertionError, match="stepping"):
        envs.reset()
    with pytest.raises(AssertionError, match="stepping"):
        envs.get_env_attr("np_random", 3)
    with pytest.raises(RuntimeError, match="stepping"):
        envs.render()
    assert envs.reset([2, 0])[0].shape == (2, 1)  # while others step
    _, rewards, _, _, infos = envs.step(np.array([0.25, 0.125]), [2, 0])
    assert [info["env_id"] for info in infos] == [0, 2]
    assert rewards.tolist() == [0.125, 0.25]
    for worker in envs.vector_env.processes:
        worker.kill()  # none waits for the slow ones
    envs.close()


def test_fetch_what_is_out():
    envs = TianshouVectorEnv([Slow] * 3, wait_num=2, num_workers=3)
    envs.reset()
    envs.step(np.array([0, 0, 0.2]))
    _, rewards, _, _, infos = envs.step(None)  # fewer than wait_num are out
    assert [info["env_id"] for info in infos] == [2] and rewards.tolist() == [0.2]
    assert envs.waiting_id == [] and sorted(envs.ready_id) == [0, 1, 2]
    with pytest.raises(AssertionError, match="No env is stepping"):
        envs.step(None)
    envs.reset()
    envs.close()


def test_timeout():
    envs = TianshouVectorEnv([Slow] * 3, timeout=0.2, num_workers=3)
    assert envs.is_async and envs.wait_num == 3
    envs.reset()
    infos = envs.step(np.array([1.5, 0, 0.0]))[4]
    assert [info["env_id"] for info in infos] == [1, 2]
    infos = envs.step(None)[4]  # waits for one at least
    assert [info["env_id"] for info in infos] == [0]
    assert envs.waiting_id == []
    assert len(envs.step(np.zeros(3))[4]) == 3
    envs.close()


# -- what goes wrong ----------------------------------------------------------------------------


class Raising(Told):
    """Raises for action 4."""

    def step(self, action):
        if action == 4:
            raise RuntimeError("four")
        return super().step(action)


def test_an_env_raises():
    envs = TianshouVectorEnv([Raising] * 3, num_workers=2)
    envs.reset()
    for ids, actions in (([0, 1], [0, 4]), (None, [1, 1, 4]), ([2], [4])):
        with pytest.raises(RuntimeError, match="four"):
            envs.step(np.array(actions), ids)
        assert envs.reset([1])[0].shape == (1, 3)
        assert len(envs.step(np.zeros(3, int))[4]) == 3
    with pytest.raises(ActionError):
        envs.step(np.zeros((3, 2), int))
    envs.step([1, 1], [2, 0])
    envs.close()


@pytest.mark.parametrize("ids", [None, [2, 0]])
def test_reset_after_an_interrupt(ids):
    envs = TianshouVectorEnv([Slow] * 3, num_workers=2)
    envs.reset()
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        envs.step(np.ones(3 if ids is None else 2), ids)
    assert envs.reset()[0].shape == (3, 1)
    assert envs.step(np.zeros(2), [1, 0])[1].tolist() == [0, 0]
    envs.close()
