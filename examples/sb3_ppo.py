# SPDX-License-Identifier: MIT
"""Stable-Baselines3's PPO on RingVecEnv: one name changes, and the weights stay the same.

`pip install 'envring[sb3]'` first. It trains CartPole-v1, prints the learning curve, and then how
many env steps per second RingVecEnv, SubprocVecEnv and DummyVecEnv make by turns. Atari's games
need `pip install ale-py opencv-python-headless`, and hours: --env-id ale_py:ALE/Pong-v5.

    python examples/sb3_ppo.py [--env-id CartPole-v1] [--steps 50000] [--envs 16] [--seconds 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

from envring.adapters.sb3 import RingVecEnv

ROUNDS = 5


class Curve(BaseCallback):
    """Prints the mean return of the last 100 episodes after each rollout."""

    def _on_training_start(self) -> None:
        self.began = time.perf_counter()

    def _on_rollout_end(self) -> None:
        returns = [info["r"] for info in self.model.ep_info_buffer]
        seconds = time.perf_counter() - self.began
        mean = float(np.mean(returns)) if returns else float("nan")
        print(f"{seconds:6.1f} s {self.num_timesteps:9,} steps {mean:6.1f} mean return", flush=True)

    def _on_step(self) -> bool:
        return True


def make(env_id: str, envs: int, kind: Any) -> Any:
    """The vector env; Atari's games with the wrappers that are usual for them."""
    if "ALE/" not in env_id:
        return make_vec_env(env_id, envs, seed=1, vec_env_cls=kind)
    return VecFrameStack(make_atari_env(env_id, envs, seed=1, vec_env_cls=kind), 4)


def train(env_id: str, envs: int, steps: int) -> None:
    """Trains, with what SB3's zoo has for CartPole, or for Atari's games."""
    env = make(env_id, envs, RingVecEnv)
    options: dict[str, Any]
    if "ALE/" in env_id:
        policy, peak = "CnnPolicy", 2.5e-4
        options = {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.01}
        options |= {"clip_range": 0.1}
    else:
        policy, peak = "MlpPolicy", 1e-3
        options = {"n_steps": 32, "batch_size": min(256, 32 * envs), "n_epochs": 20}
        options |= {"gae_lambda": 0.8, "gamma": 0.98, "clip_range": 0.2}
    rate = partial(float.__mul__, peak)
    model = PPO(policy, env, seed=1, device="cpu", learning_rate=rate, **options)
    model.learn(steps, callback=Curve())
    env.close()


def rates(env_id: str, envs: int, seconds: float) -> dict[str, list[float]]:
    """Env steps per second of each class, in each of some rounds."""
    kinds = (RingVecEnv, SubprocVecEnv, DummyVecEnv)
    made: Sequence[Any] = [make(env_id, envs, kind) for kind in kinds]
    actions = [np.array([made[0].action_space.sample() for _ in range(envs)]) for _ in range(1000)]
    found: dict[str, list[float]] = {type(each.unwrapped).__name__: [] for each in made}
    for env in made:
        env.reset()
    for _ in range(ROUNDS):
        for env in made:
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < seconds / ROUNDS:
                env.step(actions[count % len(actions)])
                count += 1
            rate = count * envs / (time.perf_counter() - began)
            found[type(env.unwrapped).__name__].append(rate)
    for env in made:
        env.close()
    return found


def main() -> None:
    """Trains, then measures."""
    parser = argparse.ArgumentParser(description="SB3's PPO on RingVecEnv")
    parser.add_argument("--env-id", default="CartPole-v1")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring, for each class")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(arguments.env_id, arguments.envs, arguments.steps)
    for name, each in rates(arguments.env_id, arguments.envs, arguments.seconds).items():
        print(f"{name:14} {median(each):9,.0f} env steps/s")


if __name__ == "__main__":
    main()
