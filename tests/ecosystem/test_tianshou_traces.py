# SPDX-License-Identifier: MIT
"""What TianshouVectorEnv returns, bit for bit what DummyVectorEnv returns."""

from copy import deepcopy
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from tianshou.env import DummyVectorEnv

from ecosystem.same import difference
from ecosystem.told_envs import ACTIONS, OBSERVATIONS, told
from envring.adapters.tianshou import TianshouVectorEnv


def in_order(results):
    """Observations with keys in the space's order, rewards as floats: Tianshou minds neither."""
    observations, *others = results
    if len(others) > 1:
        others[0] = others[0].astype(np.float64)
    if observations.dtype == object:
        observations = [{key: each[key] for key in sorted(each)} for each in observations]
    return [observations, *[list(each) if each.dtype == object else each for each in others]]


def actions_for(space, count, rng):
    """A batch of actions as Tianshou's policies give it: an array, or a list of what is none."""
    space.seed(int(rng.integers(1 << 30)))
    singles = [space.sample() for _ in range(count)]
    return singles if isinstance(space, spaces.Dict | spaces.Tuple) else np.array(singles)


def compare(fns, steps, **ours):
    """Steps both in the same subsets; the number of episodes that ended."""
    envs = [TianshouVectorEnv(fns, **ours), DummyVectorEnv(fns)]
    rng, count, ended = np.random.default_rng(3), len(fns), 0
    space = deepcopy(envs[1].action_space[0])
    try:
        for episode in range(3):
            seeds = [each.seed(episode * 10) for each in envs]
            assert difference(*seeds) == ""
            given = {"options": {"level": episode}} if episode else {}
            assert difference(*[in_order(each.reset(**given)) for each in envs]) == ""
            for step in range(steps):
                chosen = rng.permutation(count)[: rng.integers(1, count + 1)]
                ids = [None, chosen, chosen.tolist(), np.sort(chosen)][step % 4]
                actions = actions_for(space, count if ids is None else len(ids), rng)
                ours, theirs = [in_order(each.step(actions, ids)) for each in envs]
                assert difference(ours, theirs) == "", (episode, step)
                over = np.flatnonzero(theirs[2] | theirs[3])
                if len(over):
                    named = over if ids is None else np.asarray(ids)[over]
                    assert difference(*[in_order(each.reset(named)) for each in envs]) == "", step
                    ended += len(over)
            sampled = [[space.sample() for space in each.action_space] for each in envs]
            assert difference(*sampled) == ""
    finally:
        for each in envs:
            each.close()
    return ended


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_odd_infos(observation, action):
    fns = told(5, observation=observation, action=action)
    assert compare(fns, 60, num_workers=2) > 50


@pytest.mark.parametrize("ours", [{"num_workers": 0}, {"num_workers": 2, "caller_steps": True}])
def test_envs_in_this_process(ours):
    assert compare(told(4, observation="dict"), 60, **ours) > 50


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Taxi-v4"])
def test_gymnasiums_envs(env_id):
    compare([partial(gym.make, env_id)] * 6, 150, num_workers=2)


def test_words():
    def make():
        env = gym.Env()
        env.observation_space, env.action_space = spaces.Text(9), spaces.Discrete(10)
        env.reset = lambda seed=None, options=None: ("", {})
        env.step = lambda action: ("x" * int(action), 0.0, False, False, {})
        return env

    compare([make] * 3, 20, num_workers=2)


def test_arrays_do_not_change():
    envs = TianshouVectorEnv(told(3), num_workers=2)
    envs.seed(0)
    kept = [envs.reset()[0]]
    copies = [kept[0].copy()]
    for step in range(30):
        kept.append(envs.step(np.zeros(2, int), [step % 2, 2])[0])
        copies.append(kept[-1].copy())
    envs.close()
    assert difference(kept, copies) == ""


@pytest.mark.parametrize("workers", [2, 4])
def test_envs_that_do_not_wait(workers):
    fns = [partial(gym.make, "CartPole-v1")] * 4
    envs = TianshouVectorEnv(fns, wait_num=2, num_workers=workers)
    envs.seed(6)
    actions = np.random.default_rng(0).integers(0, 2, (4, 400))
    counts, came = np.zeros(4, int), [[] for _ in range(4)]
    ids = np.arange(4)
    while counts.min() < 100:
        *results, infos = envs.step(actions[ids, counts[ids]], ids)
        ids = np.array([info["env_id"] for info in infos])
        for row, env_id in enumerate(ids):
            came[env_id].append([each[row] for each in results])
        counts[ids] += 1
        over = ids[results[2] | results[3]]
        if len(over):
            observations, _ = envs.reset(over)
            for env_id, first in zip(over, observations, strict=True):
                came[env_id].append(first)
    envs.close()
    for env_id, (make, results) in enumerate(zip(fns, came, strict=True)):
        env, count = make(), 0
        env.reset(seed=6 + env_id)
        for each in results:
            if isinstance(each, np.ndarray):
                assert difference(each, env.reset()[0]) == ""
                continue
            wanted = list(env.step(actions[env_id, count])[:4])
            assert difference(each[0], wanted[0]) == "" and each[1:] == wanted[1:]
            count += 1
