# SPDX-License-Identifier: MIT
"""Envs whose infos are a list: what adapters of other libraries stand on."""

import sys
import time
from copy import deepcopy
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import SyncVectorEnv

from envring import EnvFnError, EnvSource, RemoteEnvError, RingVectorEnv, UnsendableError
from envring.adapters.listed import ListedEnvs
from support import noted
from support.hosts import running
from support.noted import wrapped
from support.restarts import kill

FILE = f"{Path(noted.__file__)}:Noted"


def listed(count, **kwargs):
    return ListedEnvs([partial(wrapped, rank) for rank in range(count)], **kwargs)


@pytest.mark.parametrize("workers", [0, 2])
def test_infos_are_what_envs_return(workers):
    envs = listed(3, num_workers=workers, autoreset_mode="SameStep")
    assert envs.reset(seed=4)[1] == [{"seed": 4}, {"seed": 5}, {"seed": 6}]
    actions = [{"a": rank} for rank in range(3)]
    for wanted in ({"n": 1}, {"n": 2.0, "a": [1]}, {"n": {"n": None}}):
        infos = envs.step(envs.fitting(actions))[4]
        assert infos == [wanted] * 3
        assert [type(info.get("n")) for info in infos] == [type(wanted["n"])] * 3
        infos[0].clear()  # they are the caller's
    infos = envs.step(envs.fitting(actions))[4]
    assert [info["final_info"] for info in infos] == [{"last": action} for action in actions]
    assert [info["seed"] for info in infos] == [None] * 3
    assert envs.ask("get:rank", [2, 0, -1, 0]) == [2, 0, 2, 0]
    assert envs.ask("run:name", 1, ("x",), {"env": 1}) == ["x1"]
    envs.close()


def test_no_infos():
    envs = ListedEnvs([partial(gym.make, "CartPole-v1")] * 2, num_workers=1)
    assert envs.reset()[1] == {}
    assert envs.step(envs.fitting(np.zeros(2, np.int64)))[4] == {}
    envs.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_some_of_the_envs(workers):
    envs = listed(4, num_workers=workers, autoreset_mode="Disabled")
    envs.reset(seed=0)
    actions = [{"a": 2}, {"a": 0}]
    infos = envs.step_some(actions, [2, 0])[4]
    assert infos == [{"n": 1, "env_id": 0}, {"n": 1, "env_id": 2}]
    for _ in range(3):
        results = envs.step_some(actions, [2, 0])
    assert results[4] == [{"last": {"a": 0}, "env_id": 0}, {"last": {"a": 2}, "env_id": 2}]
    assert results[2].tolist() == [True, True]
    envs.send_some([{"a": 1}], [3])
    assert envs.out() == [3]
    observations, infos = envs.reset_some([2, 0], seed=9, options={})  # while another is out
    assert infos == [{"seed": 9}] * 2 and observations.shape == (2, 1)
    assert envs.recv_done(1, None)[4] == [{"n": 1, "env_id": 3}]
    assert envs.out() == []
    envs.send_some(actions, [1, 3])
    envs.forget()
    envs.forget()
    assert envs.ask("get:count", None) == [0, 1, 0, 2]
    envs.close()


class Slow(noted.Noted):
    def step(self, action):
        time.sleep(action["a"])
        return super().step(action)


def test_those_that_are_done():
    envs = ListedEnvs([Slow] * 3, num_workers=3)
    envs.reset()
    envs.send_some([{"a": 0}, {"a": 2}, {"a": 0}], [0, 1, 2])
    assert [info["env_id"] for info in envs.recv_done(3, 0.5)[4]] == [0, 2]
    assert [info["env_id"] for info in envs.recv_done(1, 0.1)[4]] == [1]
    envs.close()


def test_messages_name_what_users_know():
    class Shown(ListedEnvs):
        _name = "Shown"

    class Mine(RingVectorEnv):
        pass

    for kind, name in ((ListedEnvs, "RingVectorEnv"), (Shown, "Shown"), (Mine, "Mine")):
        envs = kind([noted.Noted], num_workers=1)
        assert str(envs) == f"{name}(num_envs=1)"
        assert envs.processes[0].name == f"Worker<{name}>-0"
        with pytest.raises(TypeError, match=f"A {name} cannot be copied"):
            deepcopy(envs)
        envs.close()
        with pytest.raises(ClosedEnvironmentError, match=f"operate on `{name}`"):
            envs.reset()


def test_spaces_of_each():
    def make(count):
        env = noted.Noted()
        env.action_space = gym.spaces.Discrete(7)
        env.observation_space = gym.spaces.Box(0, count, (1,), np.float32)
        return env

    fns = [partial(make, count) for count in (1, 2)]
    envs = ListedEnvs(fns, num_workers=1, observation_mode="different")
    assert [space.high for space in envs.space_of_each("observation_space")] == [1, 2]
    envs.ask("seed:action_space", 1, (3,))
    there = gym.spaces.Discrete(7)
    there.seed(3)
    assert envs.space_of_each("action_space")[1].sample() == there.sample()
    envs.close()


def test_vector_envs_are_refused():
    with pytest.raises(EnvFnError, match="single envs"):
        ListedEnvs([lambda: SyncVectorEnv([noted.Noted])], num_workers=1)


def questions(envs, module):
    """Asks everything once; returns what env_is_wrapped is told of the outermost class."""
    assert envs.ask("has:rank", None) == [True, True]
    assert envs.ask("has:nothing", None) == [False, False]
    envs.ask("set:level", 1, ("high",))
    assert envs.ask("get:level", None) == [0, "high"]
    assert envs.ask("run:name", None, ("of ",)) == ["of 0", "of 1"]
    assert envs.ask("run:reset", 1, (), {"seed": 3})[0][1] == {"seed": 3}
    return envs.ask("wrapped:Outer", None, (module,))


def test_questions():
    envs = listed(2, num_workers=1)
    assert questions(envs, noted.__name__) == [True, True]
    assert envs.ask("get:name", 0)[0]() == "0"  # not called
    assert envs.ask("wrapped:Noted", None, (noted.__name__,)) == [False, False]
    assert envs.ask("wrapped:Outer", None, ("another",)) == [False, False]
    assert envs.ask("wrapped:Wrapper", None, ("gymnasium.core",)) == [True, True]
    with pytest.raises(AttributeError, match="no attribute 'what:rank'"):
        envs.ask("what:rank", None)
    with pytest.raises(IndexError):
        envs.ask("get:rank", 2)
    envs.close()


def test_questions_to_another_interpreter_and_to_a_host():
    sources = [EnvSource(FILE, args=(rank,)) for rank in range(2)]
    envs = ListedEnvs(sources, launcher=f"prefix:{sys.prefix}", num_workers=1)
    assert questions(envs, __name__) == [False, False]
    with pytest.raises(RemoteEnvError, match="method"):
        envs.ask("get:name", 0)
    envs.close()
    with running(FILE, "--num-envs", "2") as host:
        envs = ListedEnvs(sources, remotes=host.url)
        assert questions(envs, __name__) == [False, False]
        for name in ("get:__class__", "set:__class__", "run:__init__"):
            with pytest.raises(UnsendableError, match="two underscores"):
                envs.ask(name, None)
        envs.close()


@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_a_worker_that_is_started_again(mode):
    envs = listed(4, num_workers=2, autoreset_mode=mode, on_worker_death="restart")
    last, _ = envs.reset(seed=1)
    for actions, some in (([{"a": 1}] * 4, None), ([{"a": 1}] * 2, [3, 0])):
        kill(envs.processes[1].pid)
        if some is None:
            observations, rewards, _, truncations, infos = envs.step(envs.fitting(actions))
        else:
            observations, rewards, _, truncations, infos = envs.step_some(actions, some)
        lost = np.array([False, False, True, True]) if some is None else np.array([False, True])
        assert truncations.tolist() == lost.tolist() and not rewards[lost].any()
        assert [info.get("worker_restarted", False) for info in infos] == lost.tolist()
        for row, info in enumerate(infos):
            if lost[row] and mode == "SameStep":
                assert info["final_info"] == {}
                assert info["final_obs"].tolist() == last[row if some is None else some[0]].tolist()
        last = observations
        if mode == "Disabled":  # env 2 has heard of it, if it was stepped
            told = ["worker_restarted" in info for info in envs.reset_some([2, 3])[1]]
            assert told == [some is not None, False]
        if some is None:
            last, _ = envs.reset(seed=2)
    envs.close()
