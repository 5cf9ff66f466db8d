# SPDX-License-Identifier: MIT
"""Tianshou's DQN on TianshouVectorEnv: one name changes, and the weights stay the same.

`pip install 'envring[tianshou]'` first. It trains CartPole-v1, prints the learning curve, and then
how many env steps per second TianshouVectorEnv, SubprocVectorEnv, ShmemVectorEnv and DummyVectorEnv
make by turns.

    python examples/tianshou_dqn.py [--epochs 5] [--envs 16] [--seconds 3]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv, ShmemVectorEnv, SubprocVectorEnv
from tianshou.utils.net.common import Net

from envring.adapters.tianshou import TianshouVectorEnv

ROUNDS = 5
EPOCH = 2000  # env steps


def train(envs: int, epochs: int) -> None:
    """Trains, and prints the mean return of each epoch's episodes."""
    torch.manual_seed(1)
    np.random.seed(1)
    train_envs = TianshouVectorEnv([partial(gym.make, "CartPole-v1")] * envs)
    train_envs.seed(1)
    space = train_envs.action_space[0]
    policy = DiscreteQLearningPolicy(
        model=Net(state_shape=4, action_shape=2, hidden_sizes=(128, 128)),
        action_space=space,
        eps_training=0.1,
    )
    optim = AdamOptimizerFactory(lr=1e-3)
    algorithm: Any = DQN(policy=policy, optim=optim, gamma=0.9, target_update_freq=100)
    collector: Any = Collector(algorithm, train_envs, VectorReplayBuffer(20_000, envs))
    collector.reset()
    collector.collect(n_step=EPOCH // envs * envs, random=True)
    began, steps = time.perf_counter(), 0
    for _ in range(epochs):
        returns: list[float] = []
        for _ in range(EPOCH // (4 * envs)):
            stats = collector.collect(n_step=4 * envs)
            steps += stats.n_collected_steps
            returns += list(stats.returns)
            algorithm.policy.is_within_training_step = True
            algorithm.update(sample_size=64, buffer=collector.buffer)
        mean = float(np.mean(returns)) if returns else float("nan")
        seconds = time.perf_counter() - began
        print(f"{seconds:6.1f} s {steps:9,} steps {mean:6.1f} mean return", flush=True)
    train_envs.close()


def rates(envs: int, seconds: float) -> dict[str, list[float]]:
    """Env steps per second of each class, in each of some rounds."""
    fns = [partial(gym.make, "CartPole-v1")] * envs
    kinds: list[Any] = [TianshouVectorEnv, SubprocVectorEnv, ShmemVectorEnv, DummyVectorEnv]
    made = [kind(fns) for kind in kinds]
    actions = np.random.default_rng(1).integers(0, 2, (1000, envs))
    found: dict[str, list[float]] = {kind.__name__: [] for kind in kinds}
    for env in made:
        env.reset(seed=1)
    for _ in range(ROUNDS):
        for env in made:
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < seconds / ROUNDS:
                results = env.step(actions[count % len(actions)])
                over = np.flatnonzero(results[2] | results[3])
                if len(over):
                    env.reset(over)
                count += 1
            rate = count * envs / (time.perf_counter() - began)
            found[type(env).__name__].append(rate)
    for env in made:
        env.close()
    return found


def main() -> None:
    """Trains, then measures."""
    parser = argparse.ArgumentParser(description="Tianshou's DQN on TianshouVectorEnv")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring, for each class")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(arguments.envs, arguments.epochs)
    for name, each in rates(arguments.envs, arguments.seconds).items():
        print(f"{name:17} {median(each):9,.0f} env steps/s")


if __name__ == "__main__":
    main()
