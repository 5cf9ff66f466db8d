# SPDX-License-Identifier: MIT
"""PPO in the form of CleanRL's scripts: one file, and one line that makes the vector env.

Where CleanRL's scripts write `gym.vector.SyncVectorEnv([...])`, write
`envring.RingVectorEnv([...])`; everything else stays, and so do the curves. `pip install torch`
first.

    python examples/cleanrl_ppo.py [--total-timesteps 50000] [--num-envs 16] [--vector ring]
"""

from __future__ import annotations

import argparse
import random
import time
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

import envring


def make_env(env_id: str) -> Any:
    """A function that makes an env."""

    def thunk() -> gym.Env[Any, Any]:
        return gym.wrappers.RecordEpisodeStatistics(gym.make(env_id))

    return thunk


VECTORS: dict[str, Any] = {
    "ring": envring.RingVectorEnv,  # the one line
    "sync": gym.vector.SyncVectorEnv,
    "async": gym.vector.AsyncVectorEnv,
}


def layer(inputs: int, outputs: int, scale: float = 2**0.5) -> nn.Linear:
    """A linear layer with orthogonal weights."""
    made = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(made.weight, scale)
    nn.init.zeros_(made.bias)
    return made


class Agent(nn.Module):
    """An actor and a critic."""

    def __init__(self, inputs: int, actions: int) -> None:
        """Makes both."""
        super().__init__()
        both = [
            nn.Sequential(
                layer(inputs, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, outputs, scale)
            )
            for outputs, scale in ((actions, 0.01), (1, 1.0))
        ]
        self.actor, self.critic = both

    def act(self, obs: torch.Tensor, action: torch.Tensor | None = None) -> tuple[Any, ...]:
        """Actions (drawn, if none are given), their log probabilities, entropies and values."""
        chances = Categorical(logits=self.actor(obs))
        if action is None:
            action = chances.sample()
        return action, chances.log_prob(action), chances.entropy(), self.critic(obs).flatten()


def parse() -> argparse.Namespace:
    """The arguments, with CleanRL's names."""
    parser = argparse.ArgumentParser(description="PPO in the form of CleanRL's scripts")
    parser.add_argument("--env-id", default="CartPole-v1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--total-timesteps", type=int, default=50_000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--num-envs", type=int, default=16)
    parser.add_argument("--num-steps", type=int, default=64)
    parser.add_argument("--gamma", type=float, default=0.98)
    parser.add_argument("--gae-lambda", type=float, default=0.8)
    parser.add_argument("--update-epochs", type=int, default=4)
    parser.add_argument("--minibatch-size", type=int, default=256)
    parser.add_argument("--clip-coef", type=float, default=0.2)
    parser.add_argument("--vf-coef", type=float, default=0.5)
    parser.add_argument("--max-grad-norm", type=float, default=0.5)
    parser.add_argument("--vector", choices=VECTORS, default="ring")
    return parser.parse_args()


def main() -> None:
    """Trains, and prints the mean return of the last 50 episodes after each rollout."""
    args = parse()
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    envs = VECTORS[args.vector]([make_env(args.env_id) for _ in range(args.num_envs)])
    shape = envs.single_observation_space.shape
    agent = Agent(int(np.prod(shape)), int(envs.single_action_space.n))
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)

    size = (args.num_steps, args.num_envs)
    obs = torch.zeros((*size, *shape))
    actions = torch.zeros(size, dtype=torch.int64)
    logprobs, rewards, dones, values = (torch.zeros(size) for _ in range(4))

    returns: deque[float] = deque(maxlen=50)
    began, global_step = time.perf_counter(), 0
    next_obs = torch.as_tensor(envs.reset(seed=args.seed)[0])
    next_done = torch.zeros(args.num_envs)
    batch_size = args.num_steps * args.num_envs
    for _ in range(args.total_timesteps // batch_size):
        for step in range(args.num_steps):
            global_step += args.num_envs
            obs[step], dones[step] = next_obs, next_done
            with torch.no_grad():
                actions[step], logprobs[step], _, values[step] = agent.act(next_obs)
            told = envs.step(actions[step].numpy())
            observations, reward, terminations, truncations, infos = told
            rewards[step] = torch.as_tensor(reward)
            next_obs = torch.as_tensor(observations)
            next_done = torch.as_tensor(terminations | truncations, dtype=torch.float32)
            if "episode" in infos:
                returns.extend(infos["episode"]["r"][infos["_episode"]].tolist())

        with torch.no_grad():
            next_value = agent.critic(next_obs).flatten()
        advantages, last = torch.zeros_like(rewards), torch.zeros(args.num_envs)
        for t in reversed(range(args.num_steps)):
            ended = t == args.num_steps - 1
            alive = 1.0 - (next_done if ended else dones[t + 1])
            following = next_value if ended else values[t + 1]
            delta = rewards[t] + args.gamma * following * alive - values[t]
            last = delta + args.gamma * args.gae_lambda * alive * last
            advantages[t] = last

        b_obs, b_actions = obs.reshape(-1, *shape), actions.reshape(-1)
        b_logprobs, b_advantages = logprobs.reshape(-1), advantages.reshape(-1)
        b_returns = b_advantages + values.reshape(-1)
        # where an episode has ended, Gymnasium's next step only resets the env
        acted = (dones.reshape(-1) == 0).nonzero().flatten()
        for _ in range(args.update_epochs):
            for rows in acted[torch.randperm(len(acted))].split(args.minibatch_size):
                _, newlogprob, entropy, value = agent.act(b_obs[rows], b_actions[rows])
                ratio = (newlogprob - b_logprobs[rows]).exp()
                gain = b_advantages[rows]
                gain = (gain - gain.mean()) / (gain.std(unbiased=False) + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                pg_loss = -torch.min(gain * ratio, gain * clipped).mean()
                v_loss = 0.5 * (value - b_returns[rows]).square().mean()
                loss = pg_loss + args.vf_coef * v_loss - 0.001 * entropy.mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()

        seconds = time.perf_counter() - began
        mean = float(np.mean(returns)) if returns else float("nan")
        print(f"{seconds:6.1f} s {global_step:9,} steps {mean:7.2f} mean return", flush=True)
    envs.close()


if __name__ == "__main__":
    main()
