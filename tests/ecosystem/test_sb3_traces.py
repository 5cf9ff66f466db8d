# SPDX-License-Identifier: MIT
"""What RingVecEnv returns, bit for bit what DummyVecEnv returns."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from ecosystem.same import difference
from ecosystem.told_envs import ACTIONS, OBSERVATIONS, told
from envring.adapters.sb3 import RingVecEnv

forked = {"start_method": "fork", "num_workers": 2}


def actions_for(space, count, rng):
    """A batch of actions as SB3's policies give it: an array, or a list of what is none."""
    space.seed(int(rng.integers(1 << 30)))
    singles = [space.sample() for _ in range(count)]
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return singles
    if isinstance(space, spaces.MultiBinary):
        return np.array(singles, np.float32)  # from a Bernoulli distribution
    return np.array(singles)


def compare(ours, theirs, steps):
    rng = np.random.default_rng(3)
    ended = 0
    try:
        for episode in range(3):
            for env in (ours, theirs):
                env.seed(episode)
                if episode:
                    env.set_options([{"level": i} if i % 2 else {} for i in range(env.num_envs)])
            assert difference(ours.reset(), theirs.reset()) == ""
            assert difference(ours.reset_infos, theirs.reset_infos) == ""
            for step in range(steps):
                actions = actions_for(theirs.action_space, theirs.num_envs, rng)
                got, wanted = ours.step(actions), theirs.step(actions)
                assert difference(got, wanted) == "", step
                assert type(got[3]) is list
                assert difference(ours.reset_infos, theirs.reset_infos) == "", step
                ended += int(wanted[2].sum())
    finally:
        ours.close()
        theirs.close()
    return ended


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_odd_infos(observation, action):
    fns = told(5, observation=observation, action=action)
    assert compare(RingVecEnv(fns, **forked), DummyVecEnv(fns), 60) > 50


@pytest.mark.parametrize("ours", [{"num_workers": 0}, {"num_workers": 2, "caller_steps": True}])
def test_envs_in_this_process(ours):
    fns = told(4, observation="dict")
    assert compare(RingVecEnv(fns, "fork", **ours), DummyVecEnv(fns), 60) > 50


def test_cartpole_with_a_monitor():
    made = [
        make_vec_env("CartPole-v1", 6, seed=1, vec_env_cls=cls, vec_env_kwargs=kwargs)
        for cls, kwargs in ((RingVecEnv, forked), (DummyVecEnv, {}))
    ]
    for env in made:
        env.env_method("set_wrapper_attr", "t_start", 0.0)
    ours, theirs = made
    # the time in Monitor's info is that of the clock
    rng = np.random.default_rng(0)
    assert difference(ours.reset(), theirs.reset()) == ""
    for _ in range(300):
        actions = rng.integers(0, 2, 6)
        results = [env.step(actions) for env in made]
        for result in results:
            for info in result[3]:
                info.get("episode", {}).pop("t", None)
        assert difference(*results) == ""
    assert difference(ours.action_space.sample(), theirs.action_space.sample()) == ""
    for env in made:
        env.close()


def test_arrays_do_not_change():
    env = RingVecEnv(told(3, observation="dict"), **forked)
    env.seed(0)
    kept = [env.reset()]
    copies = [{key: value.copy() for key, value in kept[0].items()}]
    for _ in range(30):
        kept.append(env.step(np.zeros(3, int))[0])
        copies.append({key: value.copy() for key, value in kept[-1].items()})
    env.close()
    assert difference(kept, copies) == ""


def test_large_observations():
    def make(rank):
        space = spaces.Box(0, 255, (84, 84, 4), np.uint8)
        env = gym.Env()
        env.observation_space, env.action_space, env.render_mode = space, spaces.Discrete(2), None
        state = np.random.default_rng(rank)
        picture = partial(state.integers, 0, 256, space.shape, np.uint8)
        env.reset = lambda seed=None, options=None: (picture(), {})
        env.step = lambda action: (picture(), 1.0, bool(state.random() < 0.1), False, {})
        return env

    fns = [partial(make, rank) for rank in range(3)]
    assert compare(RingVecEnv(fns, **forked), DummyVecEnv(fns), 30) > 3
