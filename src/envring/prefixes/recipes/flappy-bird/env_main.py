# SPDX-License-Identifier: MIT
"""Flappy Bird, made by Gymnasium: args and kwargs are those of `gymnasium.make`."""

import os

# it renders its observations, which must work without a screen
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")

import flappy_bird_env  # noqa: F401 - registers the id
import gymnasium
from portal_env import EnvSidePortal


def make(id="FlappyBird-v0", render_mode="rgb_array", **kwargs):
    return gymnasium.make(id, render_mode=render_mode, **kwargs)


if __name__ == "__main__":
    EnvSidePortal(env_factory=make).start()
