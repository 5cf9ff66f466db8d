# SPDX-License-Identifier: MIT
"""Replace `gymnasium.vector.AsyncVectorEnv`: one line changes, the values stay the same.

The same loop runs over both vector envs with the same seed and the same actions, and prints how
many env steps per second each made. For figures that you can rely on see `examples/measure.py`.

    python examples/replace_async.py
"""

from __future__ import annotations

import time
from functools import partial

import gymnasium as gym
import numpy as np

import envring

NUM_ENVS = 16
STEPS = 500


def play(envs: gym.vector.VectorEnv) -> np.ndarray:
    """Steps with random actions; returns the last observations."""
    observations, _ = envs.reset(seed=42)
    envs.action_space.seed(42)
    began = time.perf_counter()
    for _ in range(STEPS):
        observations, _, _, _, _ = envs.step(envs.action_space.sample())
    rate = STEPS * NUM_ENVS / (time.perf_counter() - began)
    envs.close()
    print(f"{type(envs).__name__}: {rate:,.0f} env steps per second")
    return observations


def main() -> None:
    """Plays with both and compares what they returned."""
    env_fns = [partial(gym.make, "CartPole-v1")] * NUM_ENVS
    before = play(gym.vector.AsyncVectorEnv(env_fns))
    after = play(envring.RingVectorEnv(env_fns))
    print("equal observations:", np.array_equal(before, after))


if __name__ == "__main__":
    main()
