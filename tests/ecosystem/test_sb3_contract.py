# SPDX-License-Identifier: MIT
"""RingVecEnv keeps each line of what VecEnv promises, here, in another interpreter, on a host."""

import inspect
import sys
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import OrderEnforcing, TimeLimit
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from ecosystem import told_envs
from ecosystem.told_envs import Inner, Outer, Told, told
from envring import ActionError, EnvFnError, EnvSource, RemoteEnvError
from envring.adapters.sb3 import RingVecEnv
from support.hosts import running

ENVS = f"{Path(told_envs.__file__)}:wrapped"
PREFIX = f"prefix:{sys.prefix}"


@pytest.fixture(scope="module")
def host():
    with running(ENVS, "--num-envs", "64") as host:
        yield host.url


@pytest.fixture(scope="module", params=["local", "inline", "interpreter", "host"])
def env(request):
    """Four envs that tell what they are given."""
    if request.param in ("local", "inline"):
        made = RingVecEnv(told(4), "fork", num_workers=2 if request.param == "local" else 0)
    else:
        sources = [EnvSource(ENVS, args=(rank,)) for rank in range(4)]
        if request.param == "host":
            url = request.getfixturevalue("host")
            made = RingVecEnv(sources, remotes=url, on_unsendable="repr")
        else:
            made = RingVecEnv(sources, launcher=PREFIX, num_workers=2, on_unsendable="repr")
    yield made
    made.close()


def test_signature():
    ours = list(inspect.signature(RingVecEnv).parameters)
    assert ours[:2] == list(inspect.signature(SubprocVecEnv).parameters) == ours[:-1]
    assert issubclass(RingVecEnv, VecEnv)
    assert not RingVecEnv.__abstractmethods__


def test_spaces_are_single(env):
    assert env.observation_space == Told().observation_space
    assert env.action_space == Told().action_space
    assert env.num_envs == 4
    assert env.render_mode == "rgb_array"
    assert env.metadata == {"render_modes": ["human", "rgb_array"]}


def test_reset_uses_seeds_and_options_once(env):
    assert env.seed(5) == [5, 6, 7, 8]
    env.set_options([{"a": 1}, {}, {"b": [2]}, {}])
    observations = env.reset()
    assert observations.shape == (4, 3) and observations.dtype == np.float32
    assert [info["seed"] for info in env.reset_infos] == [5, 6, 7, 8]
    assert [info["options"] for info in env.reset_infos] == [{"a": 1}, None, {"b": [2]}, None]
    env.reset()
    assert [info["seed"] for info in env.reset_infos] == [None] * 4
    assert [info["options"] for info in env.reset_infos] == [None] * 4
    env.set_options({"all": True})
    env.reset()
    assert env.get_attr("told_options") == [{"all": True}] * 4
    env.seed(5)
    assert np.array_equal(env.reset(), observations)


def test_seed_none_draws_different_seeds(env):
    np.random.seed(0)
    first, second = env.seed(None), env.seed()
    assert first != second
    assert first == list(range(first[0], first[0] + 4))
    env.reset()
    assert [info["seed"] for info in env.reset_infos] == second


def test_step(env):
    env.seed(1)
    env.reset()
    ended = 0
    for _ in range(20):
        env.step_async(np.zeros(4, int))
        assert env.waiting
        before = [dict(info) for info in env.reset_infos]
        observations, rewards, dones, infos = env.step_wait()
        assert not env.waiting
        assert observations.dtype == np.float32 and rewards.dtype == np.float32
        assert rewards.shape == dones.shape == (4,) and dones.dtype == bool
        assert type(infos) is list and all(type(info) is dict for info in infos)
        for i, (done, info) in enumerate(zip(dones, infos, strict=True)):
            assert type(info["TimeLimit.truncated"]) is bool
            assert ("terminal_observation" in info) == done
            if done:
                assert not np.array_equal(info["terminal_observation"], observations[i])
                assert env.reset_infos[i].keys() == {"seed", "options", "length"}
            else:
                assert not info["TimeLimit.truncated"]
                assert env.reset_infos[i] == before[i]
        ended += int(dones.sum())
    assert ended > 5


@pytest.mark.parametrize(
    ("indices", "ranks"),
    [
        (None, [0, 1, 2, 3]),
        (2, [2]),
        (-1, [3]),
        (np.int64(1), [1]),
        ([3, 0], [3, 0]),
        ([0, -1], [0, 3]),
        (range(1, 3), [1, 2]),
        (np.array([2, 1]), [2, 1]),
        ([1, 2, 1, 1], [1, 2, 1, 1]),
        ([], []),
    ],
)
def test_indices(env, indices, ranks):
    assert env.get_attr("rank", indices) == ranks
    assert env.env_method("add", 10, b=100, indices=indices) == [rank + 110 for rank in ranks]
    assert env.env_is_wrapped(TimeLimit, indices) == [True] * len(ranks)
    env.set_attr("mark", 0)
    env.set_attr("mark", 7, indices)
    assert env.get_attr("mark") == [7 if rank in ranks else 0 for rank in range(4)]


def test_indices_that_there_are_not(env):
    for wrong in (4, -5, [0, 4]):
        with pytest.raises(IndexError):
            env.get_attr("rank", wrong)


def test_get_attr_never_calls(env):
    if not isinstance(env.vector_env.env_fns[0], EnvSource):
        assert env.get_attr("whose")[1]() == 1
    else:
        with pytest.raises(RemoteEnvError, match="sent"):
            env.get_attr("whose")
    assert env.env_method("whose") == [0, 1, 2, 3]
    assert env.get_attr("rank") == [0, 1, 2, 3]
    with pytest.raises(Exception, match="no attribute|has no"):
        env.get_attr("no_such_name")


def test_has_attr(env):
    assert env.has_attr("rank")
    assert env.has_attr("whose")  # though it cannot be sent
    assert not env.has_attr("no_such_name")
    env.set_attr("only_one", 1, 2)
    assert not env.has_attr("only_one")
    env.set_attr("only_one", 1)
    assert env.has_attr("only_one")


def test_set_attr_is_of_the_last_wrapper(env):
    env.set_attr("level", [1, 2, 3, 4])
    assert env.get_attr("level") == [[1, 2, 3, 4]] * 4
    assert env.env_method("inner_level") == [0] * 4
    env.env_method("set_wrapper_attr", "level", 9, indices=[1])
    assert env.get_attr("level")[1] == 9


def test_methods_take_any_arguments(env):
    more = {"name": 1, "args": 2, "kwargs": 3, "env": 4, "question": 5, "inside": 6}
    assert env.env_method("add", 0, **more, indices=1) == [22]
    observation, info = env.env_method("reset", seed=4, indices=0)[0]
    assert observation.shape == (3,) and info["seed"] == 4
    if not isinstance(env.vector_env.env_fns[0], EnvSource):  # whose results must be plain data
        assert len(env.env_method("step", 1, indices=[0])[0]) == 5


def test_env_is_wrapped_is_decided_in_the_worker(env):
    assert env.env_is_wrapped(TimeLimit) == [True] * 4
    assert env.env_is_wrapped(OrderEnforcing) == [False] * 4
    assert env.env_is_wrapped(Monitor) == [False] * 4
    assert env.env_is_wrapped(Told) == [False] * 4  # it is what is wrapped


def test_derived_wrappers_count():
    class Local(Monitor):
        pass

    env = RingVecEnv([lambda: Local(Told()), lambda: Inner(Told())], "fork")
    assert env.env_is_wrapped(Monitor) == [True, False]
    assert env.env_is_wrapped(Local) == [True, False]
    assert env.env_is_wrapped(Outer) == [False, True]
    env.close()


def test_images(env):
    images = env.get_images()
    assert type(images) is list
    assert [image[0, 0, 0] for image in images] == [0, 1, 2, 3]
    assert env.render().shape == (4, 6, 3)
    assert env.render(mode="rgb_array").shape == (4, 6, 3)


def test_images_need_a_render_mode():
    env = make_vec_env(
        "CartPole-v1",
        2,
        env_kwargs={"render_mode": None},
        vec_env_cls=RingVecEnv,
        vec_env_kwargs={"start_method": "fork", "num_workers": 1},
    )
    assert env.vector_env.num_workers == 1
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.get_images() == [None, None]
    env.close()


def test_a_step_under_way(env):
    env.reset()
    env.step_async(np.zeros(4, int))
    with pytest.raises(AlreadyPendingCallError):
        env.step_async(np.zeros(4, int))
    assert env.reset().shape == (4, 3)  # cancels it
    assert not env.waiting
    env.step(np.zeros(4, int))


def test_close_during_a_step_and_twice():
    env = RingVecEnv(told(2), "fork")
    env.reset()
    env.step_async(np.zeros(2, int))
    for _ in range(2):
        env.close()
        assert env.closed
    with pytest.raises(ClosedEnvironmentError, match="operate on `RingVecEnv`"):
        env.get_attr("rank")
    with pytest.raises(TypeError, match="A RingVecEnv cannot be copied or pickled"):
        deepcopy(env)


@pytest.mark.parametrize("name", ["dict", "tuple"])
def test_nested_actions_arrive_as_single_ones(name):
    env = RingVecEnv(told(2, action=name), "fork")
    env.reset()
    given = [env.action_space.sample() for _ in range(2)]
    env.step(given)
    assert [repr(each) for each in given] == [text for _, text in env.get_attr("given")]
    with pytest.raises(ActionError):
        env.step(given[:1])
    env.close()


def test_actions_of_other_kinds_arrive_as_they_are():
    env = RingVecEnv(told(2, action="multi-binary"), "fork")
    env.reset()
    env.step(np.ones((2, 4), np.float32))
    assert "dtype=float32" in env.get_attr("given")[0][1]
    env.close()


def test_what_an_env_raises_is_raised():
    env = RingVecEnv(told(2), "fork")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        env.get_attr("nothing")
    with pytest.raises(TypeError, match="add"):
        env.env_method("add")
    assert env.get_attr("rank") == [0, 1]
    env.close()


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="cannot find context for 'illegal'"):
        RingVecEnv(told(1), start_method="illegal")
    with pytest.raises(TypeError, match="autoreset_mode"):
        RingVecEnv(told(1), autoreset_mode="NextStep")
    same = Told()
    with pytest.raises(EnvFnError, match="same env"):
        RingVecEnv([lambda: same] * 2, "fork", num_workers=1)
    with pytest.raises(EnvFnError, match="single envs"):
        RingVecEnv([vector_env], "fork")


def vector_env():
    return SyncVectorEnv(told(2), autoreset_mode="SameStep")


def test_forkserver_is_the_default():
    env = RingVecEnv(told(2), num_workers=1)
    assert env.vector_env.context == "forkserver"
    assert env.reset().shape == (2, 3)
    env.close()


def test_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = RingVecEnv(told(2), "fork")
        env.reset()
        env.step(np.zeros(2, int))
        env.close()


def test_spaces_of_gymnasium():
    env = RingVecEnv(told(2, observation="dict"), "fork")
    assert isinstance(env.observation_space, spaces.Dict)
    observations = env.reset()
    assert list(observations) == list(env.observation_space.spaces)
    env.close()
