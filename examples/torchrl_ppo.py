# SPDX-License-Identifier: MIT
"""TorchRL's PPO on GymWrapper(RingVectorEnv): no adapter, and one argument to know.

`pip install torchrl` first. TorchRL resets envs itself, so the vector env is made with
autoreset_mode="Disabled"; and it makes "spawn" Python's way to start processes, which takes longer
than context="fork". It trains CartPole-v1, prints the learning curve, and then how many env
steps per second a rollout makes over RingVectorEnv, AsyncVectorEnv, SyncVectorEnv and TorchRL's own
ParallelEnv and SerialEnv, by turns.

    python examples/torchrl_ppo.py [--steps 50000] [--envs 16] [--seconds 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper, ParallelEnv, SerialEnv
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from envring import RingVectorEnv

ROUNDS = 5
LENGTH = 32  # steps of a rollout


def wrapped(kind: Callable[..., Any], envs: int, **options: Any) -> Any:
    """A vector env as TorchRL wants it."""
    made = kind([partial(gym.make, "CartPole-v1")] * envs, autoreset_mode="Disabled", **options)
    return GymWrapper(made, categorical_action_encoding=True)


def perceptron(outputs: int) -> nn.Module:
    """From CartPole's observations."""
    sizes = nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
    return nn.Sequential(*sizes)


def train(envs: int, steps: int) -> None:
    """Trains, and prints the mean length of the episodes of each rollout."""
    torch.manual_seed(1)
    env = wrapped(RingVectorEnv, envs, context="fork")
    env.set_seed(1)
    logits = TensorDictModule(perceptron(2), in_keys=["observation"], out_keys=["logits"])
    actor = ProbabilisticActor(
        logits,
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        return_log_prob=True,
    )
    critic = ValueOperator(perceptron(1), in_keys=["observation"])
    advantage = GAE(gamma=0.98, lmbda=0.8, value_network=critic)
    loss = ClipPPOLoss(actor, critic, entropy_coeff=0.0, normalize_advantage=True)
    optimizer = torch.optim.Adam(loss.parameters(), 1e-3)
    batch = LENGTH * envs
    collector = Collector(env, actor, frames_per_batch=batch, total_frames=steps)
    began, count = time.perf_counter(), 0
    for data in collector:
        with torch.no_grad():
            advantage(data)
        flat = data.reshape(-1)
        for _ in range(10):
            for rows in torch.randperm(batch).split(256):
                losses = loss(flat[rows])
                total = losses["loss_objective"] + losses["loss_critic"]
                optimizer.zero_grad()
                total.backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
        count += batch
        ended = int(data["next", "done"].sum())
        seconds, length = time.perf_counter() - began, batch / max(ended, 1)
        print(f"{seconds:6.1f} s {count:9,} steps {length:6.1f} steps per end", flush=True)
    collector.shutdown()


def rates(envs: int, seconds: float) -> dict[str, list[float]]:
    """Env steps per second of each class, in each of some rounds."""
    single = partial(gym.make, "CartPole-v1")

    def one() -> Any:
        return GymWrapper(single(), categorical_action_encoding=True)

    made = {
        "RingVectorEnv": wrapped(RingVectorEnv, envs, context="fork"),
        "AsyncVectorEnv": wrapped(AsyncVectorEnv, envs, context="fork"),
        "SyncVectorEnv": wrapped(SyncVectorEnv, envs),
        "ParallelEnv": ParallelEnv(envs, one, mp_start_method="fork"),
        "SerialEnv": SerialEnv(envs, one),
    }
    found: dict[str, list[float]] = {name: [] for name in made}
    for env in made.values():
        env.rollout(2, break_when_any_done=False)
    for _ in range(ROUNDS):
        for name, env in made.items():
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < seconds / ROUNDS:
                env.rollout(LENGTH, break_when_any_done=False)
                count += LENGTH
            found[name].append(count * envs / (time.perf_counter() - began))
    for env in made.values():
        env.close()
    return found


def main() -> None:
    """Trains, then measures."""
    parser = argparse.ArgumentParser(description="TorchRL's PPO on RingVectorEnv")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring, for each class")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(arguments.envs, arguments.steps)
    for name, each in rates(arguments.envs, arguments.seconds).items():
        print(f"{name:14} {median(each):9,.0f} env steps/s")


if __name__ == "__main__":
    main()
