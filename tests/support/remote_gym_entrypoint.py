# SPDX-License-Identifier: MIT
"""An entrypoint of remote-gym, for its own server and for a host of ours."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, MultiDiscrete


class Env(gymnasium.Env):
    """Episodes are cut off; observations say the step and the actions."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - as Gymnasium declares it
    observation_space = Box(-1, 255, (4,), np.float32)
    action_space = MultiDiscrete([3, 5])
    reward_range = (0.0, 1.0)  # which remote-gym reads

    def __init__(self, env_id, length, level, render_mode):
        self.length, self.level, self.render_mode = length, level, render_mode
        self.number = env_id

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.seen((0, 0)), {}

    def step(self, action):
        self.t += 1
        return self.seen(action), self.t / 4, False, self.t == self.length, {}

    def seen(self, action):
        return np.array([self.t, self.level, *action], np.float32)

    def render(self):
        return np.full((2, 3, 3), self.t, np.uint8)


def create_environment(env_id, length=3, level=7, render_mode=None, **kwargs):
    return Env(env_id, length, level, render_mode)
