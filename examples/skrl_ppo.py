# SPDX-License-Identifier: MIT
"""skrl's PPO on RingVectorEnv: wrap_env takes it as it is, and learns what it learns otherwise.

`pip install skrl torch` first. It trains CartPole-v1 and prints the learning curve, which is the
same with `--vector sync` and `--vector async`.

    python examples/skrl_ppo.py [--vector ring] [--steps 50000] [--envs 16]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from skrl.agents.torch import ExperimentCfg
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model
from skrl.trainers.torch import SequentialTrainer
from torch import nn

from envring import RingVectorEnv

VECTORS: dict[str, Any] = {"ring": RingVectorEnv, "sync": SyncVectorEnv, "async": AsyncVectorEnv}
LENGTH = 64  # steps of each env between two updates


def perceptron(outputs: int) -> nn.Module:
    """From CartPole's observations."""
    sizes = nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
    return nn.Sequential(*sizes)


class Policy(CategoricalMixin, Model):
    """Probabilities of the two actions."""

    def __init__(self, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        CategoricalMixin.__init__(self)
        self.net = perceptron(2)

    def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[torch.Tensor, Any]:
        """Logits."""
        return self.net(inputs["observations"]), {}


class Value(DeterministicMixin, Model):
    """The return that is to come."""

    def __init__(self, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.net = perceptron(1)

    def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[torch.Tensor, Any]:
        """The value."""
        return self.net(inputs["observations"]), {}


class Told(PPO):
    """A PPO that prints the mean return of the episodes that ended before each update."""

    def __init__(self, envs: int, **options: Any) -> None:
        super().__init__(**options)
        self.began, self.steps = time.perf_counter(), 0
        self.running, self.returns = torch.zeros(envs, 1), torch.zeros(0)

    def record_transition(self, **told: Any) -> None:
        """Adds rewards up."""
        super().record_transition(**told)
        self.steps += len(self.running)
        self.running += told["rewards"]
        over = told["terminated"] | told["truncated"]
        self.returns = torch.cat([self.returns, self.running[over]])
        self.running[over] = 0

    def update(self, **when: int) -> None:
        """Learns, and prints."""
        super().update(**when)
        seconds, mean = time.perf_counter() - self.began, self.returns.mean()
        print(f"{seconds:6.1f} s {self.steps:9,} steps {mean:6.1f} mean return", flush=True)
        self.returns = torch.zeros(0)


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(description="skrl's PPO on RingVectorEnv")
    parser.add_argument("--vector", choices=VECTORS, default="ring")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--envs", type=int, default=16)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    fns = [partial(gym.make, "CartPole-v1")] * arguments.envs
    envs = VECTORS[arguments.vector](fns, autoreset_mode="SameStep")
    envs.reset(seed=1)  # skrl resets once more, without a seed
    env = wrap_env(envs, verbose=False)
    spaces = {
        "observation_space": env.observation_space,
        "action_space": env.action_space,
        "device": env.device,
    }
    config = PPO_CFG(
        rollouts=LENGTH,
        learning_epochs=10,
        mini_batches=4,
        discount_factor=0.98,
        gae_lambda=0.8,
        learning_rate=1e-3,
        value_loss_scale=0.5,
        experiment=ExperimentCfg(write_interval=0, checkpoint_interval=0),
    )
    agent = Told(
        arguments.envs,
        models={"policy": Policy(**spaces), "value": Value(**spaces)},
        memory=RandomMemory(memory_size=LENGTH, num_envs=arguments.envs, device=env.device),
        cfg=config,
        **spaces,
    )
    timesteps = arguments.steps // arguments.envs
    options = {
        "timesteps": timesteps,
        "headless": True,
        "disable_progressbar": True,
        "close_environment_at_exit": False,
    }
    SequentialTrainer(env=env, agents=agent, cfg=options).train()
    env.close()


if __name__ == "__main__":
    main()
