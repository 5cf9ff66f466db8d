# SPDX-License-Identifier: MIT
"""RLlib's PPO with envs that its env runners step in worker processes, wherever Ray puts them.

pip install 'envring[ray]' 'ray[rllib]==2.60.*' torch
python examples/cluster/rllib_ppo.py
"""

from typing import Any

import gymnasium as gym
from ray.rllib.algorithms.ppo import PPOConfig

import envring


def make_envs(num_envs: int = 1, **kwargs: Any) -> gym.vector.VectorEnv:
    """What every env runner calls. With remotes="ray://auto?name=envring" envs run elsewhere."""
    return envring.make_vec("CartPole-v1", num_envs, num_workers=2, **kwargs)


if __name__ == "__main__":
    gym.register(
        "RingCartPole-v1",
        "gymnasium.envs.classic_control:CartPoleEnv",
        vector_entry_point=make_envs,
    )
    config = (
        PPOConfig()
        .environment("RingCartPole-v1")
        .env_runners(
            num_env_runners=1,
            num_envs_per_env_runner=8,
            gym_env_vectorize_mode="vector_entry_point",
        )
    )
    algorithm = config.build_algo()
    for _ in range(3):
        result = algorithm.train()
        print(f"return: {result['env_runners']['episode_return_mean']:.1f}")
    algorithm.stop()
