# SPDX-License-Identifier: MIT
"""Stable-Baselines3's PPO learns Pong from the console's memory, on CPUs.

`pip install 'envring[sb3]' ale-py` first. The policy sees four bytes of the memory, where ball and
paddles are, and how they have changed: a small network is enough, and most of the time goes to
the emulator, which workers share. `--vec subproc` and `--vec dummy` change the line that
makes the vector env; with the same seed they learn the same, in another time.

    python examples/sb3_pong.py [--steps 1500000] [--envs 16] [--vec ring] [--csv curve.csv]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from envring.adapters.sb3 import RingVecEnv

KINDS = {"ring": RingVecEnv, "subproc": SubprocVecEnv, "dummy": DummyVecEnv}
BYTES = [49, 54, 51, 50]  # of the memory: the ball's x and y, our paddle's y, the other's
ACTIONS = (0, 2, 3)  # stay, up, down


class PongBytes(gym.Wrapper[Any, Any, Any, Any]):
    """Pong as eight numbers: four bytes, from -1 to 1, and eight times what they have changed."""

    observation_space = gym.spaces.Box(-8, 8, (8,), np.float32)
    action_space = gym.spaces.Discrete(len(ACTIONS))

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Begins a game."""
        memory, info = self.env.reset(**kwargs)
        self._before = self._scaled(memory)
        return self._observation(memory), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Moves our paddle for four frames."""
        memory, *rest = self.env.step(ACTIONS[int(action)])
        return self._observation(memory), *rest

    def _scaled(self, memory: Any) -> Any:
        return memory[BYTES].astype(np.float32) / 128 - 1

    def _observation(self, memory: Any) -> Any:
        now = self._scaled(memory)
        changed, self._before = (now - self._before) * 8, now
        return np.concatenate([now, np.clip(changed, -8, 8)])


def make_pong() -> gym.Env[Any, Any]:
    """One env; called in its worker."""
    gym.register_envs(ale_py)
    options = {"obs_type": "ram", "frameskip": 4, "repeat_action_probability": 0.0}
    return PongBytes(gym.make("ALE/Pong-v5", **options))


class Curve(BaseCallback):
    """Prints and keeps the mean return of the last 20 games after each rollout."""

    def _on_training_start(self) -> None:
        self.began = time.perf_counter()
        self.rows: list[str] = []

    def _on_rollout_end(self) -> None:
        returns = [info["r"] for info in self.model.ep_info_buffer][-20:]
        seconds = time.perf_counter() - self.began
        mean = float(np.mean(returns)) if returns else float("nan")
        self.rows.append(f"{seconds:.1f},{self.num_timesteps},{mean:.2f}")
        print(f"{seconds:6.1f} s {self.num_timesteps:9,} steps {mean:6.1f} mean return", flush=True)

    def _on_step(self) -> bool:
        return True


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(description="SB3's PPO learns Pong")
    parser.add_argument("--steps", type=int, default=1_500_000)
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--vec", choices=KINDS, default="ring")
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    env = make_vec_env(make_pong, arguments.envs, seed=1, vec_env_cls=KINDS[arguments.vec])
    rate = partial(float.__mul__, 1e-3)  # of learning: falls to 0
    options = {"n_steps": 128, "batch_size": 256, "n_epochs": 6, "ent_coef": 0.01}
    curve = Curve()
    model = PPO("MlpPolicy", env, seed=1, device="cpu", learning_rate=rate, **options)
    model.learn(arguments.steps, callback=curve)
    env.close()
    if arguments.csv:
        arguments.csv.write_text("\n".join(["seconds,steps,mean_return", *curve.rows, ""]))


if __name__ == "__main__":
    main()
