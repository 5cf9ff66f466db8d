# SPDX-License-Identifier: MIT
"""Train CartPole with PPO from rollouts that nobody copies, until it returns 475 on average.

`pip install torch` first. `--plain` trains in the usual way: `step`, and a buffer that each step is
copied into; both ways learn the same, step for step. docs/learning.md compares how long they take.

    python examples/ppo.py [--seed 1] [--plain]
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

import envring

NUM_ENVS, NUM_STEPS = 16, 64
EPOCHS, MINIBATCH, RATE = 10, 256, 1e-3
GAMMA, LAMBDA, CLIP = 0.98, 0.9, 0.2
GOAL = 475.0  # mean return of the last 100 episodes


class Agent(nn.Module):
    """A policy and a value, of observations."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.policy = network(inputs, actions, 0.01)
        self.value = network(inputs, 1, 1.0)

    def act(self, observations: Any) -> Any:
        """Draws an action for each row."""
        with torch.no_grad():
            logits = self.policy(torch.from_numpy(observations))
            return torch.multinomial(logits.softmax(-1), 1).squeeze(-1).numpy()

    def evaluate(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of the actions' probabilities, entropies of the policy, values."""
        logs = self.policy(observations).log_softmax(-1)
        log_probs = logs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        return log_probs, -(logs.exp() * logs).sum(-1), self.value(observations).squeeze(-1)


def network(inputs: int, outputs: int, gain: float) -> nn.Sequential:
    """Two hidden layers; gain is that of the last one's weights."""
    layers = [nn.Linear(inputs, 64), nn.Linear(64, 64), nn.Linear(64, outputs)]
    for layer, each in zip(layers, (2**0.5, 2**0.5, gain), strict=True):
        nn.init.orthogonal_(layer.weight, each)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


def rollouts(envs: Any, agent: Agent, seed: int) -> Iterator[tuple[Any, ...]]:
    """Rollouts whose arrays are those that the workers wrote."""
    rollout = envs.rollout()
    observations, _ = rollout.reset(seed=seed)
    while True:
        while not rollout.full:
            observations = rollout.step(agent.act(observations))[0]
        r, ended = rollout, rollout.final_obs
        outcomes = r.actions, r.rewards, r.terminations, r.truncations
        finals = ended.steps, ended.env_ids, ended.observations
        yield r.observations, *outcomes, r.last_observations, finals
        observations = rollout.step(agent.act(observations))[0]


def copied_rollouts(envs: Any, agent: Agent, seed: int) -> Iterator[tuple[Any, ...]]:
    """The same from `step`: each array is copied into a buffer."""
    shape, batch = (NUM_STEPS, NUM_ENVS), envs.observation_space
    buffer = np.zeros((NUM_STEPS, *batch.shape), batch.dtype)
    actions, rewards = np.zeros(shape, np.int64), np.zeros(shape)
    terminations, truncations = np.zeros(shape, bool), np.zeros(shape, bool)
    observations, _ = envs.reset(seed=seed)
    while True:
        steps, env_ids, finals = [], [], []
        for t in range(NUM_STEPS):
            buffer[t], actions[t] = observations, agent.act(observations)
            observations, rewards[t], terminations[t], truncations[t], infos = envs.step(actions[t])
            for env_id in np.flatnonzero(infos.get("_final_obs", ())):
                steps.append(t)
                env_ids.append(env_id)
                finals.append(infos["final_obs"][env_id])
        ended = steps, env_ids, np.array(finals, batch.dtype).reshape(-1, *batch.shape[1:])
        yield buffer, actions, rewards, terminations, truncations, observations, ended


def learn(agent: Agent, optimizer: torch.optim.Optimizer, batch: tuple[Any, ...]) -> None:
    """One update by PPO."""
    observations, actions, rewards, terminations, truncations, last, ended = (
        torch.from_numpy(each) if isinstance(each, np.ndarray) else each for each in batch
    )
    with torch.no_grad():
        old_log_probs, _, values = agent.evaluate(observations, actions)
        next_values = torch.cat([values[1:], agent.value(last).T])
        steps, env_ids, finals = ended  # the env went on with another episode
        next_values[steps, env_ids] = agent.value(torch.from_numpy(finals)).squeeze(-1)
        next_values *= ~terminations  # where one was truncated, its last observation has a value
        deltas = rewards.float() + GAMMA * next_values - values
        goes_on = ~(terminations | truncations)
        advantages, one = torch.zeros_like(values), torch.zeros(NUM_ENVS)
        for t in reversed(range(NUM_STEPS)):
            advantages[t] = one = deltas[t] + GAMMA * LAMBDA * goes_on[t] * one
        kept = observations, actions, old_log_probs, advantages, advantages + values
        flat = [each.flatten(0, 1) for each in kept]  # copies nothing
    for _ in range(EPOCHS):
        for chosen in torch.randperm(NUM_STEPS * NUM_ENVS).split(MINIBATCH):
            obs, acts, old, gains, returns = (each[chosen] for each in flat)
            log_probs, entropies, values = agent.evaluate(obs, acts)
            ratios = (log_probs - old).exp()
            gains = (gains - gains.mean()) / (gains.std() + 1e-8)
            policy = torch.min(gains * ratios, gains * ratios.clamp(1 - CLIP, 1 + CLIP)).mean()
            value = (values - returns).square().mean()
            optimizer.zero_grad()
            (0.5 * value - policy - 0.01 * entropies.mean()).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()


def train(
    make_env: Callable[[], Any],
    seed: int,
    plain: bool = False,
    limit: int = 500_000,
    watch: Callable[[Any], None] = lambda envs: None,
    **options: Any,
) -> Iterator[tuple[float, int, float]]:
    """Yields (seconds, env steps, mean return of the last 100 episodes) after each update.

    `watch` is called with the vector env before that.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    began = time.perf_counter()
    if not plain:
        options["slots"] = NUM_STEPS + 1
    envs = envring.RingVectorEnv([make_env] * NUM_ENVS, autoreset_mode="SameStep", **options)
    agent = Agent(envs.single_observation_space.shape[0], envs.single_action_space.n)
    optimizer = torch.optim.Adam(agent.parameters(), RATE, eps=1e-5, fused=True)
    episodes, current = deque([0.0] * 100, 100), np.zeros(NUM_ENVS)
    for count, batch in enumerate((copied_rollouts if plain else rollouts)(envs, agent, seed), 1):
        learn(agent, optimizer, batch)
        for rewards, ended in zip(batch[2], batch[3] | batch[4], strict=True):
            current += rewards
            whole = ended & (rewards > 0)  # CartPole rewards each step, a lost worker none
            episodes.extend(current[whole])
            current[ended] = 0.0
        steps, mean = count * NUM_STEPS * NUM_ENVS, float(np.mean(episodes))
        watch(envs)
        yield time.perf_counter() - began, steps, mean
        if mean >= GOAL or steps >= limit:
            break
    envs.close()


def main() -> None:
    """Trains, and prints how it goes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="step, and copy into a buffer")
    parser.add_argument("--steps", type=int, default=500_000, help="the most env steps")
    given = parser.parse_args()
    make_env = partial(gym.make, "CartPole-v1")
    for seconds, steps, mean in train(make_env, given.seed, given.plain, given.steps):
        print(f"{seconds:6.1f} s {steps:8,} steps {mean:6.1f} mean return", flush=True)


if __name__ == "__main__":
    main()
