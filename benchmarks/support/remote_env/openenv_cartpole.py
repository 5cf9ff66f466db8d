# SPDX-License-Identifier: MIT
"""CartPole as an OpenEnv environment."""

import gymnasium
from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app


class CartPoleAction(Action):
    value: int


class CartPoleObservation(Observation):
    obs: list
    truncated: bool = False


class CartPole(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self.env = gymnasium.make("CartPole-v1")
        self.steps = 0

    def reset(self, seed=None, episode_id=None, **kwargs):
        self.steps = 0
        obs, _info = self.env.reset(seed=seed)
        return CartPoleObservation(obs=obs.tolist())

    def step(self, action, timeout_s=None, **kwargs):
        self.steps += 1
        obs, reward, terminated, truncated, _info = self.env.step(action.value)
        return CartPoleObservation(
            obs=obs.tolist(), reward=reward, done=terminated or truncated, truncated=truncated
        )

    @property
    def state(self):
        return State(step_count=self.steps)


app = create_fastapi_app(CartPole, CartPoleAction, CartPoleObservation, max_concurrent_envs=8)
