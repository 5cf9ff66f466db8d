# SPDX-License-Identifier: MIT
"""AgileRL's PPO on RingVectorEnv, which stands where `make_vect_envs` makes an AsyncVectorEnv.

`pip install agilerl` first. It trains two agents on CartPole-v1 and prints their fitness after each
generation.

    python examples/agilerl_ppo.py [--steps 30000] [--envs 16] [--plain]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from agilerl.algorithms import PPO
from agilerl.training.train_on_policy import train_on_policy
from gymnasium.vector import SyncVectorEnv

from envring import RingVectorEnv

GENERATION = 2048  # env steps of each agent


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(description="AgileRL's PPO on RingVectorEnv")
    parser.add_argument("--steps", type=int, default=30_000, help="of each agent")
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--plain", action="store_true", help="with SyncVectorEnv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    np.random.seed(1)
    kind: Any = SyncVectorEnv if arguments.plain else RingVectorEnv
    envs = kind([partial(gym.make, "CartPole-v1")] * arguments.envs)
    envs.reset(seed=1)
    population = [
        PPO(
            envs.single_observation_space,
            envs.single_action_space,
            index=index,
            batch_size=256,
            learn_step=GENERATION // 2,
            num_envs=arguments.envs,
            device="cpu",
        )
        for index in range(2)
    ]
    began = time.perf_counter()
    _, fitness = train_on_policy(
        envs,
        "CartPole-v1",
        "PPO",
        population,
        max_steps=arguments.steps,
        evo_steps=GENERATION,
        eval_steps=200,
        verbose=False,
    )
    seconds = time.perf_counter() - began
    for generation, each in enumerate(fitness, 1):
        print(f"generation {generation}: {', '.join(f'{value:.1f}' for value in each)} fitness")
    print(f"{seconds:.1f} s")
    envs.close()


if __name__ == "__main__":
    main()
