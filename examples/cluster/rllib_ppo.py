# SPDX-License-Identifier: MIT
"""RLlib's PPO: each env runner steps its envs in worker processes beside it, wherever it runs.

    pip install 'envring[ray]' 'ray[rllib]==2.60.*' torch
    python examples/cluster/rllib_ppo.py

"envring:" has every env runner import envring, which registers "envring/..." for each id. What
env_config has are arguments of `envring.make_vec`: remotes="ray://auto?name=envring" would use
hosts that run already.
"""

from ray.rllib.algorithms.ppo import PPOConfig

if __name__ == "__main__":
    config = (
        PPOConfig()
        .environment("envring:envring/CartPole-v1", env_config={"num_workers": 2})
        .env_runners(
            num_env_runners=1,
            num_envs_per_env_runner=8,
            gym_env_vectorize_mode="vector_entry_point",
        )
        .training(train_batch_size=1000, minibatch_size=250, num_epochs=2)
    )
    algorithm = config.build_algo()
    for _ in range(3):
        result = algorithm.train()
        print(f"return: {result['env_runners']['episode_return_mean']:.1f}")
    algorithm.stop()
