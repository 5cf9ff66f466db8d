# SPDX-License-Identifier: MIT
"""Train CartPole with DQN while envs are stepped, until it returns 475 or --steps are made.

`pip install torch` first. The envs that are done first are received and sent again, and the network
learns while they are stepped. `--plain` is the usual way: step all, wait, and then learn.
docs/learning.md compares how long both take.

    python examples/dqn.py [--seed 1] [--plain]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from torch import nn

import envring

NUM_ENVS, BATCH_SIZE, WIDTH = 16, 8, 256
CAPACITY, MINIBATCH, RATE, GAMMA = 100_000, 64, 2.3e-3, 0.99
FIRST, PER_UPDATE, PER_TARGET = 1_000, 2, 128  # transitions, transitions, updates
EXPLORE, EPSILON = 8_000, 0.04  # transitions until so few actions are drawn at random
GOAL, EPISODES, PER_TEST = 475.0, 100, 1_000  # mean return of so many episodes; updates


class Buffer:
    """The last transitions."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        kinds = (shape, np.float32), ((), np.int64), ((), np.float32), ((), bool)
        columns = (*kinds, kinds[0])  # observation, action, reward, terminated, next observation
        self.columns = [np.zeros((CAPACITY, *each), dtype) for each, dtype in columns]
        self.count = 0

    def add(self, *rows: Any) -> None:
        """Stores rows of each column."""
        at = np.arange(self.count, self.count + len(rows[0])) % CAPACITY
        for column, row in zip(self.columns, rows, strict=True):
            column[at] = row
        self.count += len(at)

    def sample(self, random: np.random.Generator) -> list[torch.Tensor]:
        """Some rows at random."""
        at = random.integers(min(self.count, CAPACITY), size=MINIBATCH)
        return [torch.from_numpy(column[at]) for column in self.columns]


class Agent:
    """A network that says what each action is worth, and one that follows it."""

    def __init__(self, inputs: int, actions: int, seed: int) -> None:
        hidden = nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        self.network = nn.Sequential(*hidden, nn.Linear(WIDTH, actions))
        self.target = deepcopy(self.network)
        self.optimizer = torch.optim.Adam(self.network.parameters(), RATE, fused=True)
        self.random = np.random.default_rng(seed)
        self.actions, self.epsilon = actions, 1.0

    def best(self, observations: Any) -> Any:
        """The best action for each row."""
        with torch.no_grad():
            return self.network(torch.from_numpy(observations)).argmax(-1).numpy()

    def act(self, observations: Any) -> Any:
        """An action for each row: the best one, or one at random."""
        best = self.best(observations)
        explores = self.random.random(len(best)) < self.epsilon
        return np.where(explores, self.random.integers(self.actions, size=len(best)), best)

    def learn(self, buffer: Buffer) -> None:
        """One update by double Q-learning."""
        observations, actions, rewards, terminated, following = buffer.sample(self.random)
        with torch.no_grad():  # a truncated episode would have gone on: only its end is worth 0
            best = self.network(following).argmax(-1, keepdim=True)
            values = self.target(following).gather(-1, best).squeeze(-1)
            goals = rewards + GAMMA * values * ~terminated
        found = self.network(observations).gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        self.optimizer.zero_grad()
        nn.functional.smooth_l1_loss(found, goals).backward()
        self.optimizer.step()


def evaluate(agent: Agent, seed: int) -> float:
    """The mean return of EPISODES episodes without any random actions."""
    envs = CartPoleVectorEnv(EPISODES)
    observations, _ = envs.reset(seed=seed)
    lasts, returns = np.ones(EPISODES, bool), np.zeros(EPISODES)
    while lasts.any():
        actions = agent.best(observations)
        observations, rewards, terminations, truncations, _ = envs.step(actions)
        returns += rewards * lasts
        lasts &= ~(terminations | truncations)
    envs.close()
    return float(returns.mean())


def received(envs: Any, act: Callable[[Any], Any], seed: int) -> Iterator[tuple[Any, ...]]:
    """Batches of the envs that are done first. They are stepped while the caller learns."""
    envs.async_reset(seed=seed)
    while True:
        observations, rewards, terminations, truncations, infos = envs.recv()
        actions = act(observations)
        envs.send(actions, infos["env_id"])
        yield infos["env_id"], observations, actions, rewards, terminations, truncations


def stepped(envs: Any, act: Callable[[Any], Any], seed: int) -> Iterator[tuple[Any, ...]]:
    """Batches of all envs. They are stepped when the caller has learnt."""
    observations, _ = envs.reset(seed=seed)
    rewards, terminations, truncations = np.zeros(NUM_ENVS), *np.zeros((2, NUM_ENVS), bool)
    while True:
        actions = act(observations)
        yield np.arange(NUM_ENVS), observations, actions, rewards, terminations, truncations
        observations, rewards, terminations, truncations, _ = envs.step(actions)


def train(
    make_env: Callable[[], Any], seed: int, plain: bool = False, limit: int = 500_000
) -> Iterator[tuple[float, int, float]]:
    """Yields (seconds, env steps, mean return of EPISODES episodes) now and then."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    began = time.perf_counter()
    envs = envring.RingVectorEnv([make_env] * NUM_ENVS, batch_size=None if plain else BATCH_SIZE)
    shape = envs.single_observation_space.shape
    agent, buffer = Agent(shape[0], int(envs.single_action_space.n), seed), Buffer(shape)
    last, chosen = np.zeros((NUM_ENVS, *shape), np.float32), np.zeros(NUM_ENVS, np.int64)
    begins, updates, mean = np.ones(NUM_ENVS, bool), 0, 0.0
    for batch in (stepped if plain else received)(envs, agent.act, seed):
        env_ids, observations, actions, rewards, terminations, truncations = batch
        is_step = ~begins[env_ids]  # after an episode's end an env is only reset
        ids = env_ids[is_step]
        outcomes = rewards[is_step], terminations[is_step], observations[is_step]
        buffer.add(last[ids], chosen[ids], *outcomes)
        last[env_ids], chosen[env_ids] = observations, actions
        begins[env_ids] = terminations | truncations
        agent.epsilon = max(EPSILON, 1 - buffer.count / EXPLORE)
        while updates * PER_UPDATE < buffer.count - FIRST:
            agent.learn(buffer)
            updates += 1
            if updates % PER_TARGET == 0:
                agent.target.load_state_dict(agent.network.state_dict())
            if updates % PER_TEST == 0:
                mean = evaluate(agent, 1_000 * seed + updates)
                yield time.perf_counter() - began, buffer.count, mean
        if mean >= GOAL or buffer.count >= limit:
            break
    envs.close()
    if mean < GOAL:
        yield time.perf_counter() - began, buffer.count, evaluate(agent, 1_000 * seed + updates)


def main() -> None:
    """Trains, and prints how it goes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="step all envs, and then learn")
    parser.add_argument("--steps", type=int, default=500_000, help="the most env steps")
    given = parser.parse_args()
    make_env = partial(gym.make, "CartPole-v1")
    for seconds, steps, mean in train(make_env, given.seed, given.plain, given.steps):
        print(f"{seconds:6.1f} s {steps:8,} steps {mean:6.1f} mean return", flush=True)


if __name__ == "__main__":
    main()
