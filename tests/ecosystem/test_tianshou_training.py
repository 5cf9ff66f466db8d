# SPDX-License-Identifier: MIT
"""Tianshou's collectors and algorithms on TianshouVectorEnv."""

import hashlib
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
import tqdm
from tianshou.algorithm import DQN, PPO
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.trainer import OffPolicyTrainerParams, OnPolicyTrainerParams
from tianshou.utils.net.common import Net
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic

from ecosystem.same import difference
from envring.adapters.tianshou import TianshouVectorEnv

tqdm.tqdm.monitor_interval = 0  # or a thread of its bars outlives them
FNS = [partial(gym.make, "CartPole-v1")] * 4
OPTIM = AdamOptimizerFactory(lr=1e-3)
PARAMS = {"verbose": False, "show_progress": False, "test_step_num_episodes": 6}


def digest(algorithm):
    """A hash of all weights."""
    found = hashlib.sha256()
    for name, value in sorted(algorithm.state_dict().items()):
        if isinstance(value, torch.Tensor):
            found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()


def net(*sizes):
    return Net(state_shape=4, hidden_sizes=sizes or (32,))


def dqn(space):
    model = Net(state_shape=4, action_shape=2, hidden_sizes=(32,))
    policy = DiscreteQLearningPolicy(model=model, action_space=space, eps_training=0.1)
    return DQN(policy=policy, optim=OPTIM, target_update_freq=20)


def ppo(space):
    actor = DiscreteActor(preprocess_net=net(), action_shape=2, softmax_output=False)
    policy = ProbabilisticActorPolicy(
        actor=actor,
        dist_fn=lambda logits: torch.distributions.Categorical(logits=logits),
        action_space=space,
        action_scaling=False,
    )
    return PPO(policy=policy, critic=DiscreteCritic(preprocess_net=net()), optim=OPTIM)


TRAINED = {
    "DQN": (dqn, OffPolicyTrainerParams, {"batch_size": 32}),
    "PPO": (ppo, OnPolicyTrainerParams, {"batch_size": 64, "update_step_num_repetitions": 2}),
}


def train(name, make):
    """What an algorithm has learnt with the vector envs that `make` makes."""
    build, params, more = TRAINED[name]
    torch.manual_seed(2)
    np.random.seed(2)
    envs = [make(FNS), make(FNS[:2])]
    for number, each in enumerate(envs):
        each.seed(number * 10)
    algorithm = build(envs[0].action_space[0])
    before = digest(algorithm)
    training = Collector(algorithm, envs[0], VectorReplayBuffer(2000, 4), exploration_noise=True)
    training.reset()
    training.collect(n_step=200, random=True)
    result = algorithm.run_training(
        params(
            training_collector=training,
            test_collector=Collector(algorithm, envs[1]),
            max_epochs=2,
            epoch_num_steps=400,
            collection_step_num_env_steps=100,
            **PARAMS,
            **more,
        )
    )
    for each in envs:
        each.close()
    assert digest(algorithm) != before
    buffer = training.buffer
    kept = [np.asarray(buffer.obs), buffer.act, buffer.rew, buffer.terminated, buffer.obs_next]
    return digest(algorithm), result.best_score, kept


@pytest.mark.filterwarnings("ignore")  # of Tianshou and its dependencies
@pytest.mark.parametrize("name", TRAINED)
def test_weights_are_those_learnt_with_dummy(name):
    ours = train(name, partial(TianshouVectorEnv, num_workers=2))
    theirs = train(name, DummyVectorEnv)
    assert difference(ours[2], theirs[2]) == ""
    assert ours[:2] == theirs[:2]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("episodes", [3, 4, 11])
def test_episodes_are_those_of_dummy(episodes):
    collected = []
    for make in (partial(TianshouVectorEnv, num_workers=2), DummyVectorEnv):
        envs = make(FNS)
        envs.seed(4)
        collector = Collector(dqn(envs.action_space[0]), envs, VectorReplayBuffer(4000, 4))
        stats = collector.collect(
            n_episode=episodes, random=True, reset_before_collect=True, gym_reset_kwargs={"seed": 9}
        )
        collected.append([stats.returns, stats.lens])
        envs.close()
    assert len(collected[0][0]) == episodes
    assert difference(*collected) == ""
