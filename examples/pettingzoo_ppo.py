# SPDX-License-Identifier: MIT
"""PPO of agents that share a policy: envs of PettingZoo as one vector env with a row per agent.

`pip install 'envring[pettingzoo]' torch` first. Agents walk to a mark on a plane, and leave their
env when they are there: what is learnt from are the rows of those that lived before the step. It
prints the learning curve, which is the same with `--plain`, without workers, and then how many
agent steps per second the envs make in workers and, by turns, in this process.

    python examples/pettingzoo_ppo.py [--steps 30000] [--envs 8] [--seconds 3]
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from pettingzoo import ParallelEnv
from torch import nn
from torch.distributions import Categorical

from envring.adapters.agent_rows import AgentVectorEnv
from envring.adapters.pettingzoo import agents_vec

MOVES = np.array([[0, 0], [0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]], np.float32)
LENGTH = 64  # steps of a rollout
ROUNDS = 5


class Walkers(ParallelEnv):
    """Three agents that see the way to their marks, and earn what they cover of it."""

    metadata = {"name": "walkers_v0"}  # noqa: RUF012
    possible_agents = ["ann", "ben", "cid"]  # noqa: RUF012
    render_mode = None
    random = np.random.default_rng()

    def observation_space(self, agent: str) -> spaces.Box:
        """The way to the mark."""
        return spaces.Box(-9, 9, (2,), np.float32)

    def action_space(self, agent: str) -> spaces.Discrete:
        """One of `MOVES`."""
        return spaces.Discrete(len(MOVES))

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        """Puts the agents anywhere."""
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.agents, self.left = list(self.possible_agents), 40
        self.ways = dict(zip(self.agents, self.random.uniform(-1, 1, (3, 2)), strict=True))
        return self._seen(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        """Moves the agents."""
        self.left -= 1
        before = {agent: np.abs(way).sum() for agent, way in self.ways.items()}
        for agent, action in actions.items():
            self.ways[agent] = self.ways[agent] - MOVES[action]
        there = {agent: bool(np.abs(self.ways[agent]).max() < 0.1) for agent in self.agents}
        told = (
            self._seen(),
            {each: float(before[each] - np.abs(self.ways[each]).sum()) for each in self.agents},
            there,
            dict.fromkeys(self.agents, self.left == 0),
            {agent: {} for agent in self.agents},
        )
        self.agents = [each for each in self.agents if self.left and not there[each]]
        return told

    def _seen(self) -> dict[str, Any]:
        return {agent: self.ways[agent].astype(np.float32) for agent in self.agents}


def perceptron(outputs: int) -> nn.Module:
    """From an agent's observation."""
    return nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, outputs))


def train(envs: Any, steps: int) -> None:
    """Trains, and prints how much agents earned that left, or had to, in each rollout."""
    torch.manual_seed(1)
    actor, critic = perceptron(len(MOVES)), perceptron(1)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, 3e-3)
    seen, infos = envs.reset(seed=1)
    count, began, earned = 0, time.perf_counter(), np.zeros(envs.num_envs)
    while count < steps:
        rows, returns = [], []
        for _ in range(LENGTH):
            lived, observation = infos["living"], torch.as_tensor(seen)
            with torch.no_grad():
                chances = Categorical(logits=actor(observation))
                actions = chances.sample()
                value = critic(observation).flatten()
            seen, rewards, over, cut, infos = envs.step(actions.numpy())
            step = observation, actions, chances.log_prob(actions), value
            told = torch.as_tensor(rewards * 1.0), torch.as_tensor(over | cut)
            rows.append((*step, *told, torch.as_tensor(lived)))
            earned += rewards
            returns += earned[over | cut].tolist()
            earned[over | cut] = 0
            count += int(lived.sum())
        with torch.no_grad():
            following = critic(torch.as_tensor(seen)).flatten()
        advantages, last = [], torch.zeros(envs.num_envs)
        for _, _, _, value, reward, ended, lives in reversed(rows):
            goes_on = (~ended).float()
            delta = reward.float() + 0.95 * goes_on * following - value
            last = (delta + 0.95 * 0.9 * goes_on * last) * lives  # rows without an agent: nothing
            advantages.insert(0, last)
            following = value
        learn(actor, critic, optimizer, rows, torch.stack(advantages))
        seconds = time.perf_counter() - began
        mean = np.mean(returns)
        print(f"{seconds:6.1f} s {count:9,} steps {mean:6.2f} mean return", flush=True)


def learn(actor: Any, critic: Any, optimizer: Any, rows: Any, advantages: torch.Tensor) -> None:
    """Four epochs over the rows of agents that lived."""
    observations, actions, before, values, _, _, living = map(torch.stack, zip(*rows, strict=True))
    observations, actions, before = observations[living], actions[living], before[living]
    advantages, returns = advantages[living], (advantages + values)[living]
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    for _ in range(4):
        for some in torch.randperm(len(actions)).split(256):
            chances = Categorical(logits=actor(observations[some]))
            ratio = (chances.log_prob(actions[some]) - before[some]).exp()
            gain = torch.min(ratio * advantages[some], ratio.clamp(0.8, 1.2) * advantages[some])
            loss = 0.5 * (critic(observations[some]).flatten() - returns[some]).square().mean()
            optimizer.zero_grad()
            (loss - gain.mean() - 0.01 * chances.entropy().mean()).backward()
            optimizer.step()


def rates(made: dict[str, Any], seconds: float) -> dict[str, list[float]]:
    """Agent steps per second of each, in each of some rounds."""
    found: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(ROUNDS):
        for name, envs in made.items():
            living, count = envs.reset(seed=1)[1]["living"], 0
            actions = envs.action_space.sample()
            began = time.perf_counter()
            while time.perf_counter() - began < seconds / ROUNDS:
                count += int(living.sum())
                living = envs.step(actions)[4]["living"]
            found[name].append(count / (time.perf_counter() - began))
    return found


def main() -> None:
    """Trains, then measures."""
    parser = argparse.ArgumentParser(description="PPO of PettingZoo's agents")
    parser.add_argument("--steps", type=int, default=30_000, help="of agents")
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="of measuring, for each way")
    parser.add_argument("--plain", action="store_true", help="train without workers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made = {
        "agents_vec": agents_vec(Walkers, arguments.envs, autoreset_mode="SameStep"),
        "in this process": AgentVectorEnv([Walkers] * arguments.envs, "SameStep"),
    }
    train(made["in this process" if arguments.plain else "agents_vec"], arguments.steps)
    for name, each in rates(made, arguments.seconds).items():
        print(f"{name:15} {median(each):9,.0f} agent steps/s")
    for envs in made.values():
        envs.close()


if __name__ == "__main__":
    main()
