# SPDX-License-Identifier: MIT
"""Minari records RingEnv, and what RingVectorEnv plays."""

import runpy
from functools import partial

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import envring
from docs.pages import ROOT
from ecosystem.same import difference

pytestmark = pytest.mark.filterwarnings("ignore")  # of Minari and JAX
ABOUT = {"algorithm_name": "-", "author": "-", "author_email": "-", "code_permalink": "-"}


@pytest.fixture(autouse=True)
def datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))


def episodes(name):
    """What a dataset holds."""
    return [
        [each.observations, each.actions, each.rewards, each.terminations, each.truncations]
        for each in minari.load_dataset(name).iterate_episodes()
    ]


def recorded(env, name):
    """Records some episodes of a single env."""
    env = minari.DataCollector(env, record_infos=True)
    env.action_space.seed(2)
    for seed in range(5):
        env.reset(seed=seed)
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated or truncated
    assert env.create_dataset(name, **ABOUT).total_episodes == 5
    env.close()
    return episodes(name)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_a_single_env(env_id):
    ours = recorded(envring.make(env_id), "test/ring-v0")
    theirs = recorded(gym.make(env_id), "test/plain-v0")
    assert difference(ours, theirs) == ""


def test_a_vector_env():
    example = runpy.run_path(str(ROOT / "examples" / "minari_record.py"))
    fns = [partial(gym.make, "CartPole-v1")] * 4
    found = []
    for name, kind in (
        ("ring", partial(envring.RingVectorEnv, num_workers=2)),
        ("sync", SyncVectorEnv),
    ):
        envs = kind(fns, autoreset_mode="SameStep")
        played = example["play"](envs, 20)
        envs.close()
        about = {"env": "CartPole-v1", **ABOUT}
        minari.create_dataset_from_buffers(f"test/{name}-v0", played, **about)
        found.append(episodes(f"test/{name}-v0"))
    assert difference(*found) == ""
    assert len(found[0]) >= 20
    for observations, actions, rewards, terminations, truncations in found[0]:
        assert len(observations) == len(actions) + 1 == len(rewards) + 1
        assert (terminations | truncations).tolist() == [False] * (len(rewards) - 1) + [True]


def test_an_episode_can_be_played_again():
    example = runpy.run_path(str(ROOT / "examples" / "minari_record.py"))
    fns = [partial(gym.make, "CartPole-v1")] * 3
    envs = envring.RingVectorEnv(fns, num_workers=1, autoreset_mode="SameStep")
    first = example["play"](envs, 3)
    envs.close()
    env = gym.make("CartPole-v1")
    again = {env.reset(seed=1 + n)[0].tobytes(): 1 + n for n in range(3)}
    played = 0
    for episode in first:
        seed = again.get(np.asarray(episode.observations[0]).tobytes())
        if seed is None:
            continue
        env.reset(seed=seed)
        steps = [env.step(action) for action in episode.actions]
        assert np.array_equal([step[0] for step in steps], episode.observations[1:])
        played += 1
    assert played == 3
