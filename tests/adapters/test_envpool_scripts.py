# SPDX-License-Identifier: MIT
"""EnvPool's documented examples, with CartPole."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import envring.adapters.envpool as envpool
from envring import ActionError
from support.pools import same, with_pool

CARTPOLE = "CartPole-v1"


def test_readme_sync():
    env = envpool.make(CARTPOLE, env_type="gymnasium", num_envs=10, num_threads=2)
    obs = env.reset()[0]
    assert obs.shape == (10, 4)
    act = np.zeros(10, dtype=int)
    obs, rew, term, trunc, info = env.step(act)
    assert [each.dtype for each in (obs, rew, term, trunc)] == ["f4", "f4", "?", "?"]
    ids = np.arange(10, dtype=np.int32)
    steps = np.ones(10, np.int32)
    assert same(info, {"env_id": ids, "players": {"env_id": ids}, "elapsed_step": steps})
    env.close()


def test_readme_async():
    num_envs, batch_size = 16, 4
    env = envpool.make(
        CARTPOLE, env_type="gymnasium", num_envs=num_envs, batch_size=batch_size, num_threads=2
    )
    action_num = env.action_space.n
    env.async_reset()
    seen = set()
    for _ in range(60):
        obs, _rew, _term, _trunc, info = env.recv()
        env_id = info["env_id"]
        assert len(env_id) == batch_size and obs.shape == (batch_size, 4)
        seen.update(env_id.tolist())
        action = np.random.randint(action_num, size=batch_size)
        env.send(action, env_id)
    assert seen == set(range(num_envs))
    env.close()


@with_pool(CARTPOLE, "gym", num_envs=4, num_threads=2)
def test_documented_partial_step(pool):
    obs, _ = pool.reset()
    for _ in range(40):
        obs, _, _, _, _ = pool.step(np.random.randint(pool.action_space.n, size=4))
    obs, _ = pool.reset(np.array([1, 3]))
    assert obs.shape == (2, 4)
    env_id = np.array([3, 2, 0])
    result = pool.step(np.array([0, 0, 1]), env_id)
    assert result[-1]["env_id"].tolist() == env_id.tolist()
    assert result[0].shape == (3, 4)


@with_pool(CARTPOLE, "gymnasium", num_envs=8, batch_size=4, num_threads=2)
def test_documented_async_step(pool):
    assert pool.is_async and len(pool) == 8
    obs, info = pool.reset()
    for _ in range(40):
        obs, *_, info = pool.step(np.zeros(4, int), info["env_id"])
        assert obs.shape == (4, 4) and len(info["env_id"]) == 4


@with_pool(CARTPOLE, "gym", num_envs=2, max_episode_steps=3)
def test_documented_autoreset(pool):
    """The first step and the step after the last one are resets."""
    rewards, cuts, elapsed = [], [], []
    for _ in range(6):
        _, reward, _, trunc, info = pool.step(np.array([0, 1]))
        rewards.append(reward[0])
        cuts.append(trunc[0])
        elapsed.append(info["elapsed_step"][0])
    assert rewards == [0, 1, 1, 1, 0, 1]
    assert cuts == [False, False, False, True, False, False]
    assert elapsed == [0, 1, 2, 3, 0, 1]


@with_pool(CARTPOLE, "gym", num_envs=3, num_threads=1)
def test_documented_actions(pool):
    pool.reset()
    for arguments in (
        (np.ones(3),),
        (np.ones(3), np.arange(3)),
        ({"action": np.ones(3, np.int32), "env_id": np.arange(3, dtype=np.int32)},),
        ({"action": np.ones(3, np.int32), "players.env_id": np.arange(3)},),
        ([1, 1, 1], [0, 1, 2]),
    ):
        pool.send(*arguments)
        assert len(pool.recv()[0]) == 3
    with pytest.raises(ActionError, match="for 3 envs"):
        pool.step(np.ones(2, int))
    assert len(pool.step(np.ones(3, int))[0]) == 3  # nothing was sent before


class RecordEpisodeStatistics(gym.Wrapper):
    """As CleanRL has it."""

    def __init__(self, env):
        super().__init__(env)
        self.num_envs = getattr(env, "num_envs", 1)

    def reset(self, **kwargs):
        self.episode_returns = np.zeros(self.num_envs, dtype=np.float32)
        self.returned_episode_returns = np.zeros(self.num_envs, dtype=np.float32)
        return super().reset(**kwargs)

    def step(self, action):
        observations, rewards, terms, truncs, infos = super().step(action)
        dones = terms | truncs
        self.episode_returns += rewards
        self.returned_episode_returns[:] = self.episode_returns
        self.episode_returns *= 1 - dones
        infos["r"] = self.returned_episode_returns
        return observations, rewards, dones, infos


@with_pool(CARTPOLE, "gym", num_envs=4, max_episode_steps=5)
def test_wrappers(pool):
    pool.num_envs, pool.single_action_space = 4, pool.action_space
    pool.spec.id = CARTPOLE
    envs = RecordEpisodeStatistics(pool)
    assert isinstance(envs.action_space, spaces.Discrete)
    envs.reset()
    returns = []
    for _ in range(12):
        _, _, done, infos = envs.step(np.arange(4) % 2)
        returns += infos["r"][done].tolist()
    assert returns == [5.0] * 8
    envs = gym.wrappers.vector.RecordEpisodeStatistics(pool)
    envs.reset()
    for _ in range(12):
        envs.step(np.arange(4) % 2)
    assert list(envs.return_queue) == [5.0] * 8
