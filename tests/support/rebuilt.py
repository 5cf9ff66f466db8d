# SPDX-License-Identifier: MIT
"""What restart_every means, in one process: an env that is built anew between episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from envring.pool.seeds import fresh_seed
from envring.testing import CountingEnv


class DrawingEnv(CountingEnv):
    """Says which seed it has, and draws a number in each reset."""

    def reset(self, **kwargs: Any) -> Any:
        observation, info = super().reset(**kwargs)
        drawn = int(self.np_random.integers(10**9))
        return observation, {**info, "drawn": drawn, "seed": self.np_random_seed}


class Rebuilt(gym.Wrapper[Any, Any, Any, Any]):
    """Is built anew by each reset that begins another episode than one of the first ones.

    Args:
        make: builds the env.
        episodes: how many an env has.
    """

    def __init__(self, make: Callable[[], Any], episodes: int) -> None:
        super().__init__(make())
        self.make, self.episodes = make, episodes
        self.resets = 0  # of the env that is there now
        self.given: int | None = None
        self.restarts = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        info: dict[str, Any] = {}
        if self.resets == self.episodes:
            self.env.close()
            self.env = self.make()
            self.resets = 0
            self.restarts += 1
            info = {"worker_restarted": True}
            if seed is None and self.given is not None:
                seed = fresh_seed(self.given, self.restarts)
        elif seed is not None:
            self.given, self.restarts = seed, 0
        self.resets += 1
        observation, infos = self.env.reset(seed=seed, options=options)
        return observation, {**infos, **info}
